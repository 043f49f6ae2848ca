#include "analysis/stability.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "analysis/agreement.h"
#include "analysis/rank_correlation.h"
#include "analysis/stop_rule.h"
#include "outputs/input_error.h"
#include "tests/analysis/noisy_heads.h"

namespace headscope::analysis {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

ProbeSamples plain(int64_t num_heads, std::vector<float> values) {
  ProbeSamples samples;
  samples.num_heads = num_heads;
  samples.values = std::move(values);
  return samples;
}

}  // namespace

TEST_CASE("a head's score is the mean over families of its mean in each", "[analysis]") {
  ProbeSamples samples = plain(2, {1, 0, 1, 0, 1, kNaN, 0, 1});
  samples.families = {"number", "number", "number", "word"};
  // Head 1 was not measured by the third probe.
  CHECK(mixed_mean(samples) == std::vector<double>({0.5, 0.5}));
  CHECK(mixed_mean(samples, {{"number", 3.0}, {"word", 1.0}}) == std::vector<double>({0.75, 0.25}));
  CHECK(mixed_mean(samples, {{"word", 2.0}}) == std::vector<double>({0.0, 1.0}));
  CHECK(mixed_mean(samples, {{"other", 1.0}}) == std::vector<double>({0.5, 0.5}));
  samples.families.clear();
  CHECK(mixed_mean(samples)[0] == 0.75);
  CHECK(mixed_mean(samples)[1] == Approx(1.0 / 3.0));
}

TEST_CASE("a family without a number for a head is left out of its mean", "[analysis]") {
  ProbeSamples samples = plain(2, {0.5F, kNaN, 1.0F, 0.25F});
  samples.families = {"short", "long"};
  CHECK(mixed_mean(samples) == std::vector<double>({0.75, 0.25}));
}

TEST_CASE("mixes are read as they are written, anything else is refused by name", "[analysis]") {
  CHECK(parse_family_mix("number=2,word=0.5") == FamilyMix({{"number", 2.0}, {"word", 0.5}}));
  CHECK(parse_family_mix("").empty());
  CHECK(parse_family_mix(format_family_mix({})).empty());
  const FamilyMix mix{{"number", 2.0}, {"word", 0.5}};
  CHECK(parse_family_mix(format_family_mix(mix)) == mix);
  for (const char* wrong : {"number", "number=", "number=x", "=1", "number=-1,word=2", "number=1e",
                            "number=1,number=2", "number=0", "number=nan", "number=1,,word=1"}) {
    INFO(wrong);
    CHECK_THROWS_AS(parse_family_mix(wrong), InputError);
  }
  CHECK_NOTHROW(check_family_mix(mix, {"word", "number", "word"}));
  CHECK_THROWS_WITH(check_family_mix(mix, {"number", "code"}),
                    Catch::Contains("code, number") && Catch::Contains("\"word\""));
}

TEST_CASE("halves agree fully without noise and hardly at all with nothing but noise",
          "[analysis]") {
  const uint64_t seed = 11;
  INFO("seed " << seed);
  const std::vector<double> levels = falling_levels(200);
  const SplitHalf agreed = split_half(noisy_heads(
      {.levels = levels, .num_clusters = 20, .cluster_noise = 0, .probe_noise = 0, .seed = seed}));
  CHECK(agreed.spearman == Approx(1.0));
  CHECK(agreed.spearman_full == Approx(1.0));
  CHECK(agreed.top_jaccard == Approx(1.0));
  CHECK(agreed.top_jaccard_full == Approx(1.0));
  const SplitHalf noise = split_half(
      noisy_heads({.levels = std::vector<double>(200, 0.5), .num_clusters = 20, .seed = seed}));
  CHECK(std::abs(noise.spearman) < 0.2);  // deviation of one halving 1 / sqrt(200) = 0.07
  CHECK(noise.top_jaccard < 0.2);         // by chance 0.05
}

TEST_CASE("a needle is never on both sides of a halving", "[analysis]") {
  // Two needles that put the heads in opposite orders: whole halves disagree fully.
  ProbeSamples samples = plain(3, {1, 2, 3, 1, 2, 3, 3, 2, 1, 3, 2, 1});
  samples.clusters = {"a", "a", "b", "b"};
  CHECK(split_half(samples).spearman == Approx(-1.0));
  CHECK(split_half(samples).num_clusters == 2);
}

TEST_CASE("every family is halved by itself", "[analysis]") {
  // Two families that put the heads in opposite orders, two needles each: were they not halved by
  // themselves, a half could hold one family alone and disagree fully with the other.
  ProbeSamples samples = plain(3, {1, 2, 4, 1, 2, 4, 3, 2, 1, 3, 2, 1});
  samples.clusters = {"a", "b", "c", "d"};
  samples.families = {"number", "number", "word", "word"};
  CHECK(split_half(samples).spearman == Approx(1.0));
  samples.families.clear();
  CHECK(split_half(samples).spearman < 0.9);
}

TEST_CASE("a family of one needle cannot be halved and is named", "[analysis]") {
  ProbeSamples samples = plain(3, {1, 2, 3, 1, 2, 3, 3, 2, 1});
  samples.clusters = {"a", "b", "c"};
  samples.families = {"number", "number", "word"};
  const SplitHalf halves = split_half(samples);
  CHECK(halves.left_out == std::vector<std::string>{"word"});
  CHECK(halves.num_probes == 2);
  CHECK(halves.spearman == Approx(1.0));
}

TEST_CASE("probes that did not count are left out of the halves", "[analysis]") {
  const SplitHalf halves = split_half(plain(3, {1, 2, 3, kNaN, kNaN, kNaN, 1, 2, 3}));
  CHECK(halves.num_probes == 2);
  CHECK(halves.spearman == Approx(1.0));
  CHECK(std::isnan(split_half(plain(3, {1, 2, 3})).spearman));
  CHECK(stability_curve(plain(3, {1, 2, 3})).empty());
  CHECK_THROWS_AS(split_half(plain(3, {1, 2})), std::invalid_argument);
  CHECK_THROWS_AS(split_half(plain(3, {1, 2, 3}), {.num_splits = 0}), std::invalid_argument);
  CHECK_THROWS_AS(split_half(plain(3, {1, 2, 3}), {.top_fraction = 0}), std::invalid_argument);
}

TEST_CASE("more probes agree better, up to all of them", "[analysis]") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  const ProbeSamples samples =
      noisy_heads({.levels = falling_levels(100), .num_clusters = 100, .seed = seed});
  const std::vector<SplitHalf> curve = stability_curve(samples);
  REQUIRE(curve.size() == 7);
  const std::vector<int64_t> sizes{8, 16, 24, 48, 80, 160, 200};
  for (size_t i = 0; i < curve.size(); ++i) {
    CHECK(curve[i].num_probes == sizes[i]);
    if (i > 0) CHECK(curve[i].spearman > curve[i - 1].spearman);
  }
  CHECK(curve.back().top_jaccard == Approx(split_half(samples).top_jaccard).margin(0.03));
}

TEST_CASE("the figures for a repetition are those that a repetition gives", "[analysis]") {
  const uint64_t seed = 9;
  INFO("seed " << seed);
  const std::vector<double> levels = falling_levels(270);
  double expected_rank = 0.0;
  double expected_overlap = 0.0;
  double found_rank = 0.0;
  double found_overlap = 0.0;
  constexpr int kRepetitions = 20;
  for (uint64_t i = 0; i < kRepetitions; ++i) {
    const ProbeSamples first =
        noisy_heads({.levels = levels, .num_clusters = 40, .seed = seed + 2 * i});
    const ProbeSamples again =
        noisy_heads({.levels = levels, .num_clusters = 40, .seed = seed + 2 * i + 1});
    const SplitHalf halves = split_half(first);
    expected_rank += halves.spearman_full / kRepetitions;
    expected_overlap += halves.top_jaccard_full / kRepetitions;
    found_rank += spearman(mixed_mean(first), mixed_mean(again)) / kRepetitions;
    found_overlap += top_k_jaccard(mixed_mean(first), mixed_mean(again), 27) / kRepetitions;
  }
  // Spearman-Brown is exact for linear correlations; of ranks of such skewed scores it says a
  // little too much.
  CHECK(expected_rank == Approx(found_rank).margin(0.05));
  CHECK(expected_overlap == Approx(found_overlap).margin(0.04));
  // Without the correction both would be off by more than that.
  CHECK(found_overlap < 0.95);
}

TEST_CASE("agreement and loss of two families worked by hand", "[analysis]") {
  ProbeSamples samples = plain(4, {4, 3, 2, 1, 4, 0, 3, 1});
  samples.families = {"number", "word"};
  const NamedScores means = family_means(samples);
  CHECK(means.names == std::vector<std::string>({"number", "word"}));
  // Ranks 4 3 2 1 and 4 1 3 2: sum of squared differences 6, so 1 - 6 * 6 / (4 * 15) = 0.4.
  const Agreement agreed = agreement(means, 2);
  CHECK(agreed.spearman[0][1] == Approx(0.4));
  CHECK(agreed.spearman[1][1] == Approx(1.0));
  // Tops {0, 1} and {0, 2}.
  CHECK(agreed.top_jaccard[1][0] == Approx(1.0 / 3.0));
  const SelectionLoss loss = selection_loss(means, 2);
  CHECK(loss.heads[0][1] == 0.5);
  CHECK(loss.mass[0][1] == Approx(1.0 - 4.0 / 7.0));  // number's choice, on words
  CHECK(loss.mass[1][0] == Approx(1.0 - 6.0 / 7.0));
  CHECK(loss.heads[1][1] == 0.0);
  CHECK(loss.mass[0][0] == Approx(0.0));
}

TEST_CASE("the run stops when the top heads stand apart, and says how sure that is", "[analysis]") {
  const uint64_t seed = 31;
  INFO("seed " << seed);
  std::vector<double> levels(100, 0.1);
  for (size_t head = 40; head < 50; ++head) levels[head] = 0.8;
  const ProbeSamples clear = interleaved(
      noisy_heads({.levels = levels, .num_clusters = 10, .seed = seed}),
      noisy_heads({.levels = levels, .num_clusters = 10, .family = "word", .seed = seed + 1}));
  const StopDecision stop = decide_stop(clear);
  INFO(stop.reason);
  CHECK(stop.stop);
  CHECK(stop.num_probes == 40);
  CHECK(stop.confidence == 1.0);
  CHECK(stop.expected_overlap == Approx(1.0));
  CHECK(stop.overlap_with_past == 1.0);
  CHECK(stop.top_heads == std::vector<size_t>({40, 41, 42, 43, 44, 45, 46, 47, 48, 49}));
  CHECK(stop.reason.find("after 40 probes") != std::string::npos);
  CHECK(stop.reason.find("100 %") != std::string::npos);
  // The same samples and seed decide the same.
  CHECK(decide_stop(clear).reason == stop.reason);
}

TEST_CASE("the run goes on while noise decides who is on top", "[analysis]") {
  const uint64_t seed = 33;
  INFO("seed " << seed);
  const StopDecision decision = decide_stop(
      noisy_heads({.levels = std::vector<double>(100, 0.5), .num_clusters = 50, .seed = seed}));
  CHECK_FALSE(decision.stop);
  CHECK(decision.confidence == 0.0);
  CHECK(decision.expected_overlap < 0.6);
}

TEST_CASE("too few probes, or a set that still moves, never stop a run", "[analysis]") {
  const uint64_t seed = 35;
  INFO("seed " << seed);
  std::vector<double> levels(100, 0.1);
  for (size_t head = 0; head < 10; ++head) levels[head] = 0.8;
  const ProbeSamples early =
      noisy_heads({.levels = levels, .num_clusters = 10, .probe_noise = 0, .seed = seed});
  CHECK_FALSE(decide_stop(early).stop);  // 20 probes
  CHECK(decide_stop(early).reason.find("too early") != std::string::npos);
  CHECK(decide_stop(early, {.min_probes = 20}).stop);
  CHECK_FALSE(decide_stop(early, {.min_probes = 20, .look_back = 20}).stop);  // no past

  // All probes of one family, then all of another: halves agree, but the past does not.
  std::vector<double> others(100, 0.1);
  for (size_t head = 5; head < 15; ++head) others[head] = 0.9;
  ProbeSamples moved = noisy_heads({.levels = levels, .num_clusters = 20, .seed = seed});
  const ProbeSamples after =
      noisy_heads({.levels = others, .num_clusters = 8, .family = "word", .seed = seed});
  moved.values.insert(moved.values.end(), after.values.begin(), after.values.end());
  moved.clusters.insert(moved.clusters.end(), after.clusters.begin(), after.clusters.end());
  moved.families.insert(moved.families.end(), after.families.begin(), after.families.end());
  const StopDecision decision = decide_stop(moved, {.confidence = 0.01});
  INFO(decision.reason);
  CHECK_FALSE(decision.stop);
  CHECK(decision.overlap_with_past < 0.9);
  CHECK(decision.reason.find("still moves") != std::string::npos);
  CHECK_THROWS_AS(decide_stop(moved, {.overlap = 0.0}), std::invalid_argument);
  CHECK_THROWS_AS(decide_stop(moved, {.look_back = 0}), std::invalid_argument);
}

TEST_CASE("measurements that the rule trusts repeat, those that it does not trust do less often",
          "[analysis]") {
  const uint64_t seed = 41;
  INFO("seed " << seed);
  const std::vector<double> levels = falling_levels(270);
  int trusted = 0;
  int trusted_and_kept = 0;
  int others_and_kept = 0;
  constexpr int kMeasurements = 48;
  for (uint64_t i = 0; i < kMeasurements; ++i) {
    const NoisyHeads made{.levels = levels,
                          .num_clusters = 15 + 30 * static_cast<int64_t>(i % 8),
                          .cluster_noise = 0.2,
                          .probe_noise = 0.2,
                          .seed = seed + 2 * i};
    NoisyHeads repeated = made;
    repeated.seed += 1;
    const ProbeSamples samples = noisy_heads(made);
    const bool kept =
        top_k_jaccard(mixed_mean(samples), mixed_mean(noisy_heads(repeated)), 27) >= 0.85;
    const bool sure = decide_stop(samples, {.overlap = 0.85}).confidence >= 0.9;
    trusted += sure ? 1 : 0;
    trusted_and_kept += sure && kept ? 1 : 0;
    others_and_kept += !sure && kept ? 1 : 0;
  }
  const int others = kMeasurements - trusted;
  INFO(trusted_and_kept << " of " << trusted << " trusted, " << others_and_kept << " of " << others
                        << " others");
  REQUIRE(trusted >= 10);
  REQUIRE(others >= 10);
  CHECK(trusted_and_kept >= trusted * 8 / 10);
  CHECK(others_and_kept <= others * 6 / 10);
}

}  // namespace headscope::analysis
