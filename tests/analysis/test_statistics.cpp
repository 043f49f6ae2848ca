#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "analysis/bootstrap.h"
#include "analysis/rank_correlation.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Sum of twelve uniform draws: near enough to a normal variable with variance 1.
double near_normal(std::mt19937_64& random) {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) {
    sum += static_cast<double>(random() >> 11) * 0x1.0p-53;
  }
  return sum;
}

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
}

TEST_CASE("halves agree fully without noise and hardly at all with nothing but noise",
          "[analysis]") {
  const uint64_t seed = 11;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  constexpr int64_t kProbes = 40;
  constexpr int64_t kHeads = 200;
  std::vector<float> same;
  std::vector<float> noise;
  for (int64_t probe = 0; probe < kProbes; ++probe) {
    for (int64_t head = 0; head < kHeads; ++head) {
      same.push_back(static_cast<float>(head));
      noise.push_back(static_cast<float>(near_normal(random)));
    }
  }
  const SplitHalf agreed = split_half(same, kProbes, kHeads);
  CHECK(agreed.spearman == Approx(1.0));
  CHECK(agreed.spearman_full == Approx(1.0));
  CHECK(agreed.top_jaccard == Approx(1.0));
  const SplitHalf random_halves = split_half(noise, kProbes, kHeads);
  CHECK(std::abs(random_halves.spearman) < 0.2);  // deviation of one halving 1 / sqrt(200) = 0.07
}

TEST_CASE("a needle is never on both sides of a halving", "[analysis]") {
  // Two needles that put the heads in opposite orders: whole halves disagree fully.
  const std::vector<float> samples{1, 2, 3, 1, 2, 3, 3, 2, 1, 3, 2, 1};
  const std::vector<std::string> clusters{"a", "a", "b", "b"};
  CHECK(split_half(samples, 4, 3, {}, clusters).spearman == Approx(-1.0));
  CHECK(split_half(samples, 4, 3, {}, clusters).num_clusters == 2);
}

TEST_CASE("probes that did not count are left out of the halves", "[analysis]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const SplitHalf halves = split_half({1, 2, 3, nan, nan, nan, 1, 2, 3}, 3, 3);
  CHECK(halves.num_probes == 2);
  CHECK(halves.spearman == Approx(1.0));
  CHECK(std::isnan(split_half({1, 2, 3}, 1, 3).spearman));
  CHECK_THROWS_AS(split_half({1, 2}, 1, 3), std::invalid_argument);
}

}  // namespace
}  // namespace headscope::analysis
