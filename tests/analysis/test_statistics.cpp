#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "analysis/bootstrap.h"
#include "analysis/rank_correlation.h"
#include "tests/analysis/noisy_heads.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("the bootstrap interval has the width that theory gives", "[analysis]") {
  const uint64_t seed = 3;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::vector<double> values(400);
  for (double& value : values) {
    value = 5.0 + near_normal(random);
  }
  const MeanInterval interval = bootstrap_mean(values, {4000, 0.95, seed});
  CHECK(interval.low < interval.mean);
  CHECK(interval.mean < interval.high);
  // 2 * 1.96 / sqrt(400) = 0.196; the sample's own deviation varies by some 4 %, the percentiles by
  // some 3 %.
  CHECK(interval.high - interval.low == Approx(0.196).epsilon(0.15));
  CHECK(interval.num_samples == 400);
}

TEST_CASE("the bootstrap repeats with its seed and moves with another", "[analysis]") {
  const std::vector<double> values{0, 1, 1, 0, 1, 0.5, 0.25, 1};
  const MeanInterval first = bootstrap_mean(values, {200, 0.9, 1});
  const MeanInterval again = bootstrap_mean(values, {200, 0.9, 1});
  CHECK(first.low == again.low);
  CHECK(first.high == again.high);
  bool moved = false;
  for (uint64_t seed = 2; seed < 8; ++seed) {
    moved = moved || bootstrap_mean(values, {200, 0.9, seed}).low != first.low;
  }
  CHECK(moved);
}

TEST_CASE("samples of one cluster are not taken for independent", "[analysis]") {
  std::vector<double> values;
  std::vector<std::string> clusters;
  for (int cluster = 0; cluster < 10; ++cluster) {
    for (int i = 0; i < 20; ++i) {
      values.push_back(cluster % 2);
      clusters.push_back("needle-" + std::to_string(cluster));
    }
  }
  const MeanInterval loose = bootstrap_mean(values, {2000, 0.95, 5}, clusters);
  const MeanInterval tight = bootstrap_mean(values, {2000, 0.95, 5});
  CHECK(loose.num_clusters == 10);
  CHECK(tight.num_clusters == 200);
  // 10 independent values instead of 200: sqrt(20) = 4.5 times as wide.
  CHECK(loose.high - loose.low > 3.0 * (tight.high - tight.low));
}

TEST_CASE("what was not measured does not enter the mean", "[analysis]") {
  const MeanInterval interval = bootstrap_mean({1.0, kNaN, 3.0});
  CHECK(interval.mean == 2.0);
  CHECK(interval.num_samples == 2);
  CHECK(std::isnan(bootstrap_mean({kNaN}).mean));
  CHECK(bootstrap_mean({2.0, 2.0}).low == 2.0);
  CHECK_THROWS_AS(bootstrap_mean({1.0}, {0, 0.95, 0}), std::invalid_argument);
  CHECK_THROWS_AS(bootstrap_mean({1.0}, {10, 1.0, 0}), std::invalid_argument);
  CHECK_THROWS_AS(bootstrap_mean({1.0}, {}, {"a", "b"}), std::invalid_argument);
}

TEST_CASE("every head's interval is that of its own mean over whole needles", "[analysis]") {
  const uint64_t seed = 21;
  INFO("seed " << seed);
  // Two heads that differ by a constant: the same draws, so the same widths.
  ProbeSamples samples = noisy_heads({.levels = {0.5, 0.25}, .num_clusters = 40, .seed = seed});
  for (size_t probe = 0; probe < 80; ++probe) {
    samples.values[2 * probe + 1] = samples.values[2 * probe] - 0.25F;
  }
  const HeadIntervals intervals = bootstrap_heads(samples, {}, {1000, 0.95, seed});
  CHECK(intervals.num_clusters == 40);
  CHECK(intervals.num_probes == 80);
  for (size_t head = 0; head < 2; ++head) {
    CHECK(intervals.low[head] < intervals.mean[head]);
    CHECK(intervals.mean[head] < intervals.high[head]);
  }
  CHECK(intervals.high[1] - intervals.low[1] ==
        Approx(intervals.high[0] - intervals.low[0]).epsilon(1e-5));
  // Half of the variance is the needle's, so 40 needles of two probes: sd of the mean
  // 0.1 * sqrt((1 + 1 / 2) / 40).
  CHECK(intervals.high[0] - intervals.low[0] ==
        Approx(2 * 1.96 * 0.1 * std::sqrt(1.5 / 40)).epsilon(0.25));
  // One needle says nothing of others.
  const HeadIntervals single =
      bootstrap_heads(noisy_heads({.levels = {0.5, 0.25}, .num_clusters = 1, .seed = seed}));
  CHECK(single.low == single.high);
}

TEST_CASE("Spearman's correlation of a case worked by hand", "[analysis]") {
  // Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8.
  CHECK(spearman({10, 20, 30, 40, 50}, {2, 1, 4, 3, 5}) == Approx(0.8));
  CHECK(spearman({1, 2, 3}, {1, 8, 27}) == Approx(1.0));
  CHECK(spearman({1, 2, 3}, {3, 2, 1}) == Approx(-1.0));
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
  CHECK(spearman({1, 2, 2, 4}, {1, 2, 3, 4}) == Approx(4.5 / std::sqrt(4.5 * 5.0)));
  CHECK(spearman({1, 2, kNaN, 3}, {1, 2, 9, 3}) == Approx(1.0));
  CHECK(std::isnan(spearman({1, 1, 1}, {1, 2, 3})));
  CHECK_THROWS_AS(spearman({1}, {1, 2}), std::invalid_argument);
}

TEST_CASE("top-k overlap counts what both tops hold", "[analysis]") {
  CHECK(top_k_jaccard({9, 8, 7, 0, 0}, {9, 0, 8, 7, 0}, 3) == Approx(2.0 / 4.0));
  CHECK(top_k_jaccard({1, 2, 3}, {1, 2, 3}, 2) == 1.0);
  CHECK(top_k_jaccard({1, 0, 0}, {0, 0, 1}, 1) == 0.0);
  CHECK(top_k_jaccard({kNaN, 1, 0}, {9, 1, 0}, 1) == 0.0);
  CHECK_THROWS_AS(top_k_jaccard({1}, {1}, 0), std::invalid_argument);
  CHECK(top_k({5, kNaN, 7, 7, 1}, 2) == std::vector<size_t>({2, 3}));
  CHECK(top_k({5, kNaN}, 3) == std::vector<size_t>({0}));
  CHECK(top_count(270, 0.1) == 27);
  CHECK(top_count(4, 0.1) == 1);
  CHECK_THROWS_AS(top_count(4, 0.0), std::invalid_argument);
}

}  // namespace
}  // namespace headscope::analysis
