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
inline constexpr int64_t kOwnPooling = 0;

struct SelectorArm {
  // A score whose best heads choose ("srh", "retrieval"), "random" for heads drawn of each layer,
  // "all" for every query head.
  std::string selector = "srh";
  int64_t num_heads = 4;  // per layer, kEveryHead = all; "all" has no number
  // "layer": budgets by layer errors, as compresskv; "uniform": all the same; "curve": by the error
  // curve of every KV head.
  std::string allocation = "layer";
  // One ranking of keys per layer; else one per KV head, by its own share of the heads, at least
  // one.
  bool has_layer_sets = true;
  int64_t pooling_kernel = kOwnPooling;  // odd, tokens

  // "srh-4", "random-4", and "all-heads" whoever chooses; then what is not CompressKV's own:
  // "+uniform" or "+curve", "+kv-head-sets", "+pool-13".
  [[nodiscard]] std::string label() const;
};

// What is to be tried of each choice; an empty list stands for CompressKV's own (srh, 4, layer,
// layer, 5).
struct ArmChoices {
  std::vector<std::string> selectors = {};
  std::vector<std::string> numbers = {};      // "1", "2", … or "all"
  std::vector<std::string> allocations = {};  // "layer", "uniform", "curve"
  std::vector<std::string> sets = {};         // "layer", "kv_head"
  std::vector<int64_t> pooling_kernels = {};  // odd
};

// Every combination, each once; none where all lists are empty. InputError for words and numbers
// that are none of these.
[[nodiscard]] std::vector<SelectorArm> expand_arms(const ArmChoices& choices);

// The arm's plan. Heads drawn at random are the same at every budget. InputError naming what the
// profile lacks.
[[nodiscard]] BudgetPlan plan_for_arm(const SelectorArm& arm,
                                      const HeadProfile& profile,
                                      int64_t budget_tokens,
                                      uint64_t seed,
                                      MethodOptions options = {});

}  // namespace headscope::profiler
