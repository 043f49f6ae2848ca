// Variants of CompressKV that take its idea apart: who chooses a layer's keys, how many heads do,
// and whether layers get budgets of their own. Each is an arm of an evaluation
// (evaluation_settings.h), beside the methods and under the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/method_plan.h"

namespace headscope::profiler {

inline constexpr int64_t kEveryHead = 0;

struct SelectorArm {
  // A score whose best heads choose ("srh", "retrieval"), "random" for heads drawn of each layer,
  // "all" for every query head.
  std::string selector = "srh";
  int64_t num_heads = 4;          // per layer, kEveryHead = all; "all" has no number
  bool has_layer_budgets = true;  // by layer errors, as compresskv; else all layers the same
  bool has_layer_sets = true;     // one ranking of keys per layer; else one per KV head, by its own
                                  // share of the heads, at least one

  // "srh-4", "random-4", and "all-heads" whoever chooses; "+uniform" without budgets of layers,
  // "+kv-head-sets" with a ranking per KV head.
  [[nodiscard]] std::string label() const;
};

// Every selector with every number of heads, every allocation ("layer", "uniform") and all sets
// ("layer", "kv_head"), each once; a list that is empty stands for CompressKV's own choice (srh, 4,
// layer, layer). None where all are empty. `numbers` are "1", "2", … or "all". InputError for words
// and numbers that are none of these.
[[nodiscard]] std::vector<SelectorArm> expand_arms(const std::vector<std::string>& selectors,
                                                   const std::vector<std::string>& numbers,
                                                   const std::vector<std::string>& allocations,
                                                   const std::vector<std::string>& sets = {});

// The arm's plan. Heads drawn at random are the same at every budget. InputError naming what the
// profile lacks.
[[nodiscard]] BudgetPlan plan_for_arm(const SelectorArm& arm,
                                      const HeadProfile& profile,
                                      int64_t budget_tokens,
                                      uint64_t seed,
                                      MethodOptions options = {});

}  // namespace headscope::profiler
