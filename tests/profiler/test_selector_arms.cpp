#include <catch2/catch.hpp>
#include <set>

#include "outputs/input_error.h"
#include "profiler/selector_arms.h"

namespace headscope::profiler {
namespace {

// Two layers of four query heads in two KV heads; srh prefers the last head, retrieval the first.
HeadProfile profile_of_two_scores() {
  HeadProfile profile;
  profile.model.name = "tiny";
  ModelShape& shape = profile.model.shape;
  shape.num_layers = 2;
  shape.num_query_heads = 4;
  shape.num_kv_heads = 2;
  shape.head_dim = 8;
  ProbeRecord probe;
  probe.success = true;  // at least one, or no head can be told from another
  profile.probes = {probe};
  ScoreTable srh;
  srh.mean = HeadMatrix(2, 4);
  ScoreTable retrieval;
  retrieval.mean = HeadMatrix(2, 4);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t head = 0; head < 4; ++head) {
      srh.mean.at(layer, head) = static_cast<double>(head);
      retrieval.mean.at(layer, head) = -static_cast<double>(head);
    }
  }
  profile.scores = {{"srh", srh}, {"retrieval", retrieval}};
  ErrorCurves curves;
  curves.budgets = {32};
  curves.tasks = {"needle"};
  curves.samples = {0.1F, 0.3F};
  curves.samples_summed = {0.1F, 0.3F};
  curves.layer = {0.1F, 0.3F};
  profile.error_curves = {{"srh", curves}};
  return profile;
}

using Heads = std::vector<std::vector<int64_t>>;

std::vector<std::string> labels_of(const std::vector<SelectorArm>& arms) {
  std::vector<std::string> labels;
  for (const SelectorArm& arm : arms) labels.push_back(arm.label());
  return labels;
}

TEST_CASE("arms are every combination of what was asked for, each once", "[profiler]") {
  using Labels = std::vector<std::string>;
  CHECK(expand_arms({}).empty());
  CHECK(labels_of(expand_arms({.numbers = {"1", "all"}})) == Labels{"srh-1", "all-heads"});
  CHECK(labels_of(expand_arms({.allocations = {"layer", "uniform"}})) ==
        Labels{"srh-4", "srh-4+uniform"});
  // All heads are the same heads, whoever names them.
  CHECK(labels_of(expand_arms(
            {.selectors = {"all", "random", "retrieval"}, .numbers = {"2", "6", "all"}})) ==
        Labels{"all-heads", "random-2", "random-6", "retrieval-2", "retrieval-6"});
  CHECK_THROWS_WITH(expand_arms({.numbers = {"0"}}), Catch::Contains("--arm-heads"));
  CHECK_THROWS_WITH(expand_arms({.numbers = {"2x"}}), Catch::Contains("2x"));
  CHECK_THROWS_WITH(expand_arms({.allocations = {"heads"}}), Catch::Contains("--arm-allocations"));
  CHECK(labels_of(expand_arms({.allocations = {"curve"}, .pooling_kernels = {5, 13}})) ==
        Labels{"srh-4+curve+pool-5", "srh-4+curve+pool-13"});
  CHECK_THROWS_WITH(expand_arms({.pooling_kernels = {4}}), Catch::Contains("odd"));
}

TEST_CASE("an arm's plan has the heads that its selector names", "[profiler]") {
  const HeadProfile profile = profile_of_two_scores();
  const auto heads = [&](const std::string& selector, const std::string& number,
                         uint64_t seed = 1) {
    return plan_for_arm(expand_arms({.selectors = {selector}, .numbers = {number}}).front(),
                        profile, 64, seed)
        .selector_heads;
  };
  CHECK(heads("srh", "1") == Heads{{3}, {3}});
  CHECK(heads("srh", "2") == Heads{{3, 2}, {3, 2}});
  CHECK(heads("retrieval", "1") == Heads{{0}, {0}});
  for (const auto& layer : heads("all", "1")) {
    CHECK(std::set<int64_t>(layer.begin(), layer.end()) == std::set<int64_t>{0, 1, 2, 3});
  }
  CHECK(heads("srh", "all").front().size() == 4);
  CHECK(heads("random", "2") == heads("random", "2"));
  std::set<Heads> drawn;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Heads of_seed = heads("random", "2", seed);
    for (const auto& layer : of_seed) {
      REQUIRE(layer.size() == 2);
      CHECK(layer[0] != layer[1]);
    }
    drawn.insert(of_seed);
  }
  CHECK(drawn.size() > 10);
  CHECK_THROWS_WITH(heads("echo", "1"), Catch::Contains("echo"));
}

TEST_CASE("an arm with sets per KV head ranks keys by every group's own best heads", "[profiler]") {
  const HeadProfile profile = profile_of_two_scores();
  const std::vector<SelectorArm> arms =
      expand_arms({.numbers = {"2"}, .sets = {"layer", "kv_head"}});
  CHECK(labels_of(arms) == std::vector<std::string>{"srh-2", "srh-2+kv-head-sets"});
  const BudgetPlan of_layer = plan_for_arm(arms[0], profile, 64, 1);
  const BudgetPlan of_heads = plan_for_arm(arms[1], profile, 64, 1);
  CHECK(of_layer.selection.index_sets == IndexSets::kOwn);
  CHECK(of_heads.selection.index_sets == IndexSets::kKvHead);
  // Heads 0 and 1 look for KV head 0, 2 and 3 for KV head 1.
  CHECK(of_layer.selector_heads == Heads{{3, 2}, {3, 2}});
  CHECK(of_heads.selector_heads == Heads{{3, 1}, {3, 1}});
  CHECK_THROWS_WITH(expand_arms({.sets = {"group"}}), Catch::Contains("--arm-sets"));
}

TEST_CASE("an arm pools over as many tokens as it says, else as compresskv does", "[profiler]") {
  const HeadProfile profile = profile_of_two_scores();
  const auto kernel = [&](const ArmChoices& choices) {
    return plan_for_arm(expand_arms(choices).front(), profile, 64, 1).selection.pooling_kernel;
  };
  CHECK(kernel({.numbers = {"4"}}) == 5);
  CHECK(kernel({.pooling_kernels = {13}}) == 13);
}

TEST_CASE("an arm's layers have budgets by error, or all the same", "[profiler]") {
  const HeadProfile profile = profile_of_two_scores();
  const auto budgets = [&](const std::string& allocation) {
    return plan_for_arm(expand_arms({.allocations = {allocation}}).front(), profile, 64, 1)
        .budget_tokens;
  };
  CHECK(budgets("uniform") == Heads{{64, 64}, {64, 64}});
  const Heads by_error = budgets("layer");
  CHECK(by_error[0][0] < by_error[1][0]);
  CHECK(by_error[0][0] + by_error[1][0] == 128);
  for (const char* allocation : {"uniform", "layer"}) {
    CHECK(plan_for_arm(expand_arms({.allocations = {allocation}}).front(), profile, 64, 1).method ==
          "compresskv");
  }
}

}  // namespace
}  // namespace headscope::profiler
