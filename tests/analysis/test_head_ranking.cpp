#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <stdexcept>

#include "analysis/head_ranking.h"
#include "analysis/query_group.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

HeadMatrix matrix_of(int64_t layers, int64_t heads, std::vector<double> values) {
  HeadMatrix matrix(layers, heads);
  matrix.values = std::move(values);
  return matrix;
}

TEST_CASE("heads are ranked best first, ties by layer then head, NaN last", "[analysis]") {
  const HeadMatrix scores = matrix_of(2, 3, {0.5, kNaN, 0.9, 0.9, 0.5, -1.0});
  std::vector<HeadId> order;
  for (const RankedHead& ranked : rank_heads(scores)) {
    order.push_back(ranked.head);
  }
  CHECK(order == std::vector<HeadId>{{0, 2}, {1, 0}, {0, 0}, {1, 1}, {1, 2}, {0, 1}});
}

TEST_CASE("each layer's order is a permutation of its heads and the top is its start",
          "[analysis]") {
  const uint64_t seed = 7;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  HeadMatrix scores(5, 9);
  for (double& value : scores.values) {
    value = static_cast<double>(random() % 4);  // many ties
  }
  scores.at(3, 2) = kNaN;
  const auto ranked = rank_heads_per_layer(scores);
  const auto top = top_heads_per_layer(scores, 4);
  REQUIRE(ranked.size() == 5);
  for (size_t layer = 0; layer < ranked.size(); ++layer) {
    std::vector<int64_t> sorted = ranked[layer];
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(top[layer] == std::vector<int64_t>(ranked[layer].begin(), ranked[layer].begin() + 4));
    for (size_t i = 1; i < 9; ++i) {
      const double before = scores.at(static_cast<int64_t>(layer), ranked[layer][i - 1]);
      const double here = scores.at(static_cast<int64_t>(layer), ranked[layer][i]);
      const bool in_order = here != here || before > here ||
                            (before == here && ranked[layer][i - 1] < ranked[layer][i]);
      CHECK(in_order);
    }
  }
  CHECK(ranked[3].back() == 2);
}

TEST_CASE("a top of no heads or of more than there are is the caller's bug", "[analysis]") {
  const HeadMatrix scores(2, 3);
  CHECK_THROWS_AS(top_heads_per_layer(scores, 0), std::invalid_argument);
  CHECK_THROWS_AS(top_heads_per_layer(scores, 4), std::invalid_argument);
}

TEST_CASE("query heads 0..G-1 of a layer belong to its first KV head", "[analysis]") {
  const HeadMatrix scores = matrix_of(1, 6, {1, 2, 6, 10, kNaN, 30});
  CHECK(reduce_query_groups(scores, 2, GroupReduction::kSum).values == std::vector<double>{9, 40});
  CHECK(reduce_query_groups(scores, 2, GroupReduction::kMean).values == std::vector<double>{3, 20});
  CHECK(reduce_query_groups(scores, 3, GroupReduction::kMax).values ==
        std::vector<double>{2, 10, 30});
}

TEST_CASE("a query group that was not measured stays not measured", "[analysis]") {
  const HeadMatrix scores = matrix_of(1, 4, {kNaN, kNaN, 1, 2});
  const HeadMatrix reduced = reduce_query_groups(scores, 2, GroupReduction::kSum);
  CHECK(std::isnan(reduced.at(0, 0)));
  CHECK(reduced.at(0, 1) == 3.0);
  CHECK_THROWS_AS(reduce_query_groups(scores, 3, GroupReduction::kSum), std::invalid_argument);
}

}  // namespace
}  // namespace headscope::analysis
