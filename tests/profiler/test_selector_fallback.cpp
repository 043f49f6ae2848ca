// Whose heads choose a layer's keys where the profile shows that none of them retrieves.
#include <algorithm>
#include <catch2/catch.hpp>

#include "profiler/method_plan.h"
#include "profiler/plan_inputs.h"
#include "tests/analysis/noisy_heads.h"

namespace headscope::testing {
namespace {

using profiler::MethodOptions;
using profiler::plan_from_profile;

constexpr int64_t kLayers = 3;
constexpr int64_t kHeads = 6;

// 3 layers of 6 query heads, with controls at 0.02; `levels` are the heads' true srh.
HeadProfile profile_of(const std::vector<double>& levels, int64_t num_needles = 20) {
  HeadProfile profile;
  profile.model.name = "made-up";
  profile.model.fingerprint = std::string(64, 'f');
  ModelShape& shape = profile.model.shape;
  shape.num_layers = kLayers;
  shape.num_query_heads = kHeads;
  shape.num_kv_heads = 3;
  shape.head_dim = 8;
  shape.max_positions = 4096;
  shape.attention_window.assign(kLayers, 0);
  const auto add = [&](const std::vector<double>& of_heads, uint64_t seed,
                       std::vector<ProbeRecord>& probes, ScoreTable& table) {
    const analysis::ProbeSamples made = analysis::noisy_heads({.levels = of_heads,
                                                               .num_clusters = num_needles,
                                                               .cluster_noise = 0.002,
                                                               .probe_noise = 0.002,
                                                               .seed = seed});
    table.samples = made.values;
    table.mean = HeadMatrix(kLayers, kHeads);
    table.mean.values = analysis::mixed_mean(made);
    for (size_t i = 0; i < made.clusters.size(); ++i) {
      ProbeRecord probe;
      probe.id = static_cast<int64_t>(i);
      probe.family = made.families[i];
      probe.needle_id = made.clusters[i];
      probe.success = true;
      probes.push_back(probe);
    }
  };
  add(levels, 1, profile.probes, profile.scores["srh"]);
  add(std::vector<double>(levels.size(), 0.02), 2, profile.controls.probes,
      profile.controls.scores["srh"]);
  return profile;
}

// Heads 1 and 4 of layer 1 retrieve; the others have an order, but not much to show.
std::vector<double> one_layer_retrieves() {
  std::vector<double> levels;
  for (int64_t head = 0; head < kLayers * kHeads; ++head) {
    levels.push_back(0.02 + 0.003 * static_cast<double>(head % kHeads));
  }
  levels[7] = 0.6;
  levels[10] = 0.4;
  return levels;
}

bool mentions(const BudgetPlan& plan, const std::string& words) {
  return std::any_of(plan.lint.notes.begin(), plan.lint.notes.end(), [&](const std::string& note) {
    return note.find(words) != std::string::npos;
  });
}

const std::vector<int64_t> kAllHeads{5, 4, 3, 2, 1, 0};  // best first

}  // namespace

TEST_CASE("layers without a retrieval head choose by all of their heads, and the lint says so",
          "[profiler]") {
  const HeadProfile profile = profile_of(one_layer_retrieves());
  const BudgetPlan plan = plan_from_profile(profile, "uniform", 64, {});
  REQUIRE(plan.method == "compresskv");
  CHECK(plan.selector_heads ==
        std::vector<std::vector<int64_t>>({kAllHeads, {1, 4, 5, 3}, kAllHeads}));
  CHECK(mentions(plan, "no head is known to retrieve in layers 0,2"));

  MethodOptions published;
  published.fallback = false;
  const BudgetPlan fixed = plan_from_profile(profile, "uniform", 64, published);
  CHECK(fixed.selector_heads ==
        std::vector<std::vector<int64_t>>({{5, 4, 3, 2}, {1, 4, 5, 3}, {5, 4, 3, 2}}));
  CHECK_FALSE(mentions(fixed, "retrieve"));
}

TEST_CASE("a model without retrieval heads chooses by all of them", "[profiler]") {
  // All above the floor, and no half of the needles picks better ones than chance.
  const HeadProfile even = profile_of(std::vector<double>(kLayers * kHeads, 0.3));
  const BudgetPlan plan = plan_from_profile(even, "uniform", 64, {});
  for (const std::vector<int64_t>& layer : plan.selector_heads) CHECK(layer.size() == kHeads);
  CHECK(
      mentions(plan, "the model is not known to have retrieval heads: all heads of layers 0,1,2"));
}

TEST_CASE("a profile that cannot tell keeps the best few", "[profiler]") {
  const HeadProfile one_needle = profile_of(one_layer_retrieves(), 1);
  const BudgetPlan plan = plan_from_profile(one_needle, "uniform", 64, {});
  for (const std::vector<int64_t>& layer : plan.selector_heads) CHECK(layer.size() == 4);
  CHECK_FALSE(mentions(plan, "retrieve"));
  HeadProfile other = profile_of(one_layer_retrieves());
  other.scores["retrieval"] = other.scores.at("srh");
  other.scores.erase("srh");
  MethodOptions by_retrieval;
  by_retrieval.score = "retrieval";
  for (const auto& layer : plan_from_profile(other, "uniform", 64, by_retrieval).selector_heads) {
    CHECK(layer.size() == 4);
  }
}

TEST_CASE("selectors that were chosen before are taken as they are", "[profiler]") {
  const HeadProfile profile = profile_of(one_layer_retrieves());
  MethodOptions options;
  options.selectors = profiler::Selectors{{{0}, {1}, {2}}, {"chosen by hand"}};
  const BudgetPlan plan = plan_from_profile(profile, "uniform", 64, options);
  CHECK(plan.selector_heads == options.selectors->heads);
  CHECK(mentions(plan, "chosen by hand"));
}

}  // namespace headscope::testing
