// From a method's name to its plan: which allocator, which selectors, and what is said where
// something is missing.
#include "profiler/method_plan.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "outputs/input_error.h"
#include "runtime/eviction_policy.h"

namespace headscope::testing {
namespace {

using profiler::MethodOptions;
using profiler::plan_for_method;
using profiler::plan_from_profile;

constexpr int64_t kLayers = 3;
constexpr int64_t kQueryHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kContext = 400;

ModelIdentity identity() {
  ModelIdentity model;
  model.name = "made-up";
  model.fingerprint = "f";
  model.shape.architecture = "llama";
  model.shape.num_layers = kLayers;
  model.shape.num_query_heads = kQueryHeads;
  model.shape.num_kv_heads = kKvHeads;
  model.shape.head_dim = 8;
  model.shape.hidden_size = 32;
  model.shape.vocab_size = 32;
  model.shape.max_positions = 4096;
  return model;
}

// One successful probe; head h of layer l scores (l + 1) (h + 1) / 100 under the named scores.
HeadProfile profile_with(const std::vector<std::string>& scores, bool with_curves) {
  HeadProfile profile;
  profile.model = identity();
  ProbeRecord& probe = profile.probes.emplace_back();
  probe.needle_id = "n";
  probe.success = true;
  for (const std::string& name : scores) {
    ScoreTable& table = profile.scores[name];
    table.mean.num_layers = kLayers;
    table.mean.num_heads = kQueryHeads;
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t head = 0; head < kQueryHeads; ++head) {
        table.mean.values.push_back(static_cast<double>((layer + 1) * (head + 1)) / 100.0);
      }
    }
    table.samples.assign(table.mean.values.begin(), table.mean.values.end());
  }
  if (with_curves) {
    ErrorCurves& curves = profile.error_curves["srh4"];
    curves.budgets = {16, 32, 64};
    curves.tasks = {"qa"};
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (const float error : {0.4f, 0.2f, 0.1f}) {
        const float of_layer = error / static_cast<float>(layer + 1);
        curves.samples.push_back(of_layer);
        curves.samples_summed.push_back(of_layer);
        curves.layer.push_back(of_layer);
        for (int64_t head = 0; head < kKvHeads; ++head) curves.kv_head.push_back(of_layer);
      }
    }
  }
  return profile;
}

HeadProfile complete_profile() {
  return profile_with({"srh", "induction", "echo"}, /*with_curves=*/true);
}

MethodOptions for_context() {
  MethodOptions options;
  options.context_length = kContext;
  return options;
}

std::string complaint(const std::string& method, const HeadProfile* profile) {
  try {
    static_cast<void>(plan_for_method(method, 64, identity(), profile, for_context()));
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

int64_t total(const BudgetPlan& plan) {
  int64_t tokens = 0;
  for (const auto& layer : plan.budget_tokens) {
    tokens += std::accumulate(layer.begin(), layer.end(), int64_t{0});
  }
  return tokens;
}

bool names(const std::string& message, const std::string& what) {
  return message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("every method's plan spends the same tokens, shared out by its own allocator",
          "[profiler]") {
  const HeadProfile profile = complete_profile();
  for (const runtime::EvictionPolicy& policy : runtime::eviction_policies()) {
    const std::string method(policy.name);
    if (!policy.evicts || method == "gates") continue;
    INFO(method);
    const BudgetPlan plan = plan_for_method(method, 64, identity(), &profile, for_context());
    CHECK(plan.method == method);
    CHECK(plan.allocator == policy.allocator);
    CHECK(total(plan) == 64 * kLayers * kKvHeads);
    CHECK(plan.selector_heads.empty() == !policy.needs_selector_heads);
    CHECK(plan.selection.num_sink_tokens == policy.defaults.num_sink_tokens);
  }
  const auto budgets = [&](const std::string& method) {
    return plan_for_method(method, 64, identity(), &profile, for_context()).budget_tokens;
  };
  CHECK(budgets("snapkv") == std::vector<std::vector<int64_t>>(3, {64, 64}));
  CHECK(budgets("pyramidkv")[0][0] > budgets("pyramidkv")[2][0]);
  CHECK(budgets("headkv")[2][1] > budgets("headkv")[2][0]);
  CHECK(budgets("headcompresskv") == budgets("headkv"));
  CHECK(budgets("compresskv")[0][0] > budgets("compresskv")[2][0]);
  CHECK(budgets("adacompresskv") == budgets("compresskv"));
}

TEST_CASE("a method without the profile that it needs is refused, naming the scores",
          "[profiler]") {
  const std::vector<std::pair<std::string, std::string>> needs{
      {"compresskv", "the score srh and error curves"},
      {"adacompresskv", "the score srh and error curves"},
      {"headcompresskv", "the score srh"},
      {"headkv", "the score srh"},
      {"razor", "the scores induction and echo"}};
  for (const auto& [method, what] : needs) {
    const std::string message = complaint(method, nullptr);
    INFO(message);
    CHECK(names(message, "--method " + method));
    CHECK(names(message, "a profile with " + what));
  }
  for (const std::string method :
       {"streaming", "snapkv", "pyramidkv", "h2o", "adakv", "cake", "kvcompress"}) {
    CHECK(complaint(method, nullptr).empty());
  }
}

TEST_CASE("a profile that lacks what a method reads is refused, naming it", "[profiler]") {
  const HeadProfile bare = profile_with({"retrieval"}, /*with_curves=*/false);
  for (const std::string method : {"headkv", "headcompresskv"}) {
    CHECK(names(complaint(method, &bare), "the score srh"));
  }
  CHECK(names(complaint("razor", &bare), "induction,echo"));
  CHECK(names(complaint("compresskv", &bare), "error curves"));
  const HeadProfile curves_only = profile_with({"retrieval"}, /*with_curves=*/true);
  CHECK(names(complaint("compresskv", &curves_only), "the score srh"));
}

TEST_CASE("gates needs a plan", "[profiler]") {
  const HeadProfile profile = complete_profile();
  const std::string message = complaint("gates", &profile);
  CHECK(names(message, "--method gates"));
  CHECK(names(message, "--plan"));
  MethodOptions options = for_context();
  options.gates.num_layers = kLayers;
  options.gates.num_heads = kKvHeads;
  options.gates.values = {0.9, 0.1, 0.2, 0.8, 0.3, 0.4};
  options.gates_options.num_recent_tokens = 16;
  options.sink_tokens = 4;
  const BudgetPlan plan = plan_from_profile(profile, "gates", 160, options);
  CHECK(plan.method == "gates");
  CHECK(plan.budget_tokens[0][0] == kContext);
}

TEST_CASE("an allocator's plan is applied by the method it belongs to", "[profiler]") {
  const HeadProfile profile = complete_profile();
  const auto method = [&](const std::string& allocator) {
    return plan_from_profile(profile, allocator, 64, for_context()).method;
  };
  CHECK(method("pyramid") == "pyramidkv");
  CHECK(method("headkv") == "headkv");
  CHECK(method("razor") == "razor");
  CHECK(method("compresskv") == "compresskv");
  CHECK(method("curve") == "compresskv");
  CHECK(method("uniform") == "compresskv");
  MethodOptions options = for_context();
  options.eviction = "headcompresskv";
  CHECK(plan_from_profile(profile, "headkv", 64, options).method == "headcompresskv");
}

TEST_CASE("settings of the paper, index sets and quirks reach the plan", "[profiler]") {
  const HeadProfile profile = complete_profile();
  MethodOptions options = for_context();
  options.selection.quirks.head_floor = 0.5;
  options.selection.index_sets = IndexSets::kKvHead;
  const BudgetPlan plan = plan_for_method("compresskv", 64, identity(), &profile, options);
  CHECK(plan.selection.quirks.head_floor == 0.5);
  CHECK(plan.selection.index_sets == IndexSets::kKvHead);
  // Four selectors a layer are two of each group, the better heads first.
  CHECK(plan.selector_heads[0] == std::vector<int64_t>{3, 2, 1, 0});
  options.selector_heads = 2;
  CHECK(plan_for_method("compresskv", 64, identity(), &profile, options).selector_heads[0] ==
        std::vector<int64_t>{3, 1});
  options.published_settings = true;
  const BudgetPlan ada = plan_for_method("adakv", 100, identity(), nullptr, options);
  CHECK(ada.selection.observation_window == 32);
  CHECK(ada.selection.pooling == Pooling::kMax);
  CHECK(ada.selection.quirks.head_floor == 0.5);
}

}  // namespace headscope::testing
