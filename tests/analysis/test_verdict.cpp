#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "analysis/retrieval_verdict.h"
#include "tests/analysis/noisy_heads.h"

namespace headscope::analysis {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// 4 layers of 5 heads. Head 7 (1, 2) and head 16 (3, 1) look at the needle.
std::vector<double> two_retrieving() {
  std::vector<double> levels(20, 0.02);
  levels[7] = 0.7;
  levels[16] = 0.4;
  return levels;
}

ProbeSamples measured(std::vector<double> levels, uint64_t seed) {
  return noisy_heads({.levels = std::move(levels),
                      .num_clusters = 20,
                      .cluster_noise = 0.01,
                      .probe_noise = 0.01,
                      .seed = seed});
}

ProbeSamples none() {
  ProbeSamples samples;
  samples.num_heads = 20;
  return samples;
}

bool mentions(const RetrievalVerdict& verdict, const std::string& words) {
  for (const std::string& note : verdict.notes) {
    if (note.find(words) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("heads that look at the needle are found, other layers fall back", "[analysis]") {
  const uint64_t seed = 1;
  INFO("seed " << seed);
  const RetrievalVerdict verdict = judge_retrieval(
      measured(two_retrieving(), seed), measured(std::vector<double>(20, 0.02), seed + 1), 4);
  CHECK(verdict.judged);
  CHECK(verdict.has_controls);
  CHECK(verdict.model_retrieves);
  CHECK(verdict.num_heads == 2);
  CHECK(verdict.heads_per_layer == std::vector<int64_t>({0, 1, 0, 1}));
  CHECK(verdict.retrieves[7]);
  CHECK(verdict.retrieves[16]);
  CHECK(verdict.selector_fallback == std::vector<int64_t>({0, 2}));
  CHECK(verdict.threshold == Approx(0.1));  // the floor: controls are below it
  CHECK(verdict.control_level < 0.05);
  CHECK(verdict.random.passed());
  CHECK(verdict.random.top > 0.5);
  CHECK(verdict.random.random_mean < verdict.random.top / 1.5);
}

TEST_CASE("a head that looks at the place with or without a needle does not retrieve",
          "[analysis]") {
  const uint64_t seed = 3;
  INFO("seed " << seed);
  std::vector<double> place(20, 0.02);
  place[7] = 0.7;  // as in the probes
  const RetrievalVerdict verdict =
      judge_retrieval(measured(two_retrieving(), seed), measured(place, seed + 1), 4);
  CHECK_FALSE(verdict.retrieves[7]);
  // Its mass without a needle also lifts the level that the others must pass: 99 % of 20 heads.
  CHECK(verdict.control_level > 0.5);
  CHECK(verdict.num_heads == 0);
  CHECK_FALSE(verdict.model_retrieves);
  CHECK(verdict.selector_fallback.size() == 4);
  // Of many heads one does not lift the level: then only that head is held back.
  VerdictOptions median;
  median.control_quantile = 0.5;
  const RetrievalVerdict lenient =
      judge_retrieval(measured(two_retrieving(), seed), measured(place, seed + 1), 4, median);
  CHECK_FALSE(lenient.retrieves[7]);
  CHECK(lenient.retrieves[16]);
}

TEST_CASE("a model of nothing but noise has no retrieval heads", "[analysis]") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  // All heads above the floor, none better than another: only the random heads tell.
  const RetrievalVerdict verdict =
      judge_retrieval(measured(std::vector<double>(20, 0.3), seed), none(), 4);
  CHECK(verdict.num_heads == 20);
  CHECK_FALSE(verdict.random.passed());
  CHECK_FALSE(verdict.model_retrieves);
  CHECK(mentions(verdict, "no better"));
  const RetrievalVerdict low =
      judge_retrieval(measured(std::vector<double>(20, 0.02), seed), none(), 4);
  CHECK(low.num_heads == 0);
  CHECK_FALSE(low.model_retrieves);
  CHECK(low.selector_fallback.size() == 4);
}

TEST_CASE("absent controls and few needles are said", "[analysis]") {
  const uint64_t seed = 7;
  INFO("seed " << seed);
  const RetrievalVerdict verdict = judge_retrieval(measured(two_retrieving(), seed), none(), 4);
  CHECK_FALSE(verdict.has_controls);
  CHECK(std::isnan(verdict.control_level));
  CHECK(verdict.model_retrieves);
  CHECK(mentions(verdict, "no probe without its needle"));
  const NoisyHeads few{
      .levels = two_retrieving(), .num_clusters = 3, .probe_noise = 0.01, .seed = seed};
  CHECK(mentions(judge_retrieval(noisy_heads(few), none(), 4), "only 3 needles"));
}

TEST_CASE("without two needles nothing is judged and nothing falls back", "[analysis]") {
  const RetrievalVerdict empty = judge_retrieval(none(), none(), 4);
  CHECK_FALSE(empty.judged);
  CHECK_FALSE(empty.model_retrieves);
  CHECK(empty.selector_fallback.empty());
  const NoisyHeads one{.levels = two_retrieving(), .num_clusters = 1, .seed = 1};
  CHECK_FALSE(judge_retrieval(noisy_heads(one), none(), 4).judged);
  CHECK_THROWS_AS(judge_retrieval(none(), none(), 3), std::invalid_argument);
}

TEST_CASE("a layer without numbers falls back and is named", "[analysis]") {
  const uint64_t seed = 9;
  INFO("seed " << seed);
  ProbeSamples samples = measured(two_retrieving(), seed);
  for (size_t at = 0; at < samples.values.size(); ++at) {
    if (at % 20 < 5) samples.values[at] = kNaN;  // layer 0
  }
  const RetrievalVerdict verdict = judge_retrieval(samples, none(), 4);
  CHECK(verdict.unscored_layers == std::vector<int64_t>({0}));
  CHECK(verdict.selector_fallback == std::vector<int64_t>({0, 2}));
  CHECK(verdict.num_heads == 2);
}

TEST_CASE("a profile is judged by srh, its controls included", "[analysis]") {
  HeadProfile profile;
  profile.model.shape.num_layers = 1;
  profile.model.shape.num_query_heads = 2;
  for (const char* needle : {"a", "b", "c"}) {
    ProbeRecord probe;
    probe.family = "number";
    probe.needle_id = needle;
    profile.probes.push_back(probe);
    profile.controls.probes.push_back(probe);
  }
  profile.scores["retrieval"].samples = {1, 1, 1, 1, 1, 1};
  const RetrievalVerdict absent = judge_retrieval(profile);
  CHECK_FALSE(absent.judged);
  CHECK(mentions(absent, "does not hold srh"));
  profile.scores["srh"].samples = {0.9F, 0.3F, 0.8F, 0.3F, 0.9F, 0.3F};
  CHECK(judge_retrieval(profile).num_heads == 2);
  profile.controls.scores["srh"].samples = {0.1F, 0.4F, 0.1F, 0.4F, 0.1F, 0.4F};
  const RetrievalVerdict verdict = judge_retrieval(profile);
  CHECK(verdict.has_controls);
  CHECK(verdict.retrieves[0]);
  CHECK_FALSE(verdict.retrieves[1]);
}

}  // namespace headscope::analysis
