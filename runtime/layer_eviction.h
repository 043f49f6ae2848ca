// One layer's eviction: from the policy's choice to storage that holds only what stays.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "outputs/budget_plan.h"
#include "runtime/eviction_policy.h"
#include "runtime/full_kv_cache.h"
#include "runtime/full_layer.h"
#include "runtime/query_window.h"
#include "runtime/ragged_layer.h"

namespace headscope::runtime {

// What a layer's eviction goes by.
struct LayerBudget {
  const EvictionPolicy& policy;
  const BudgetPlan& plan;
  int64_t layer = 0;
  std::vector<int64_t> tokens;  // [Hkv] most tokens that stay; the plan's own or larger
};

// True when no KV head holds more than it may keep.
[[nodiscard]] bool keeps_everything(const LayerBudget& budget, int64_t num_keys);
// Whether evict_together() has to be asked for this prompt: the layers compete and something goes.
[[nodiscard]] bool evicts_together(const EvictionPolicy& policy,
                                   const BudgetPlan& plan,
                                   int64_t num_keys);

// A full layer after eviction. Sequences with padding are judged one by one, over their own tokens.
// A sliding window's layer keeps at most what its next query can see. std::invalid_argument where
// `window` lacks the queries that the policy judges by.
[[nodiscard]] RaggedLayer evict(const LayerBudget& budget,
                                const FullLayer& full,
                                const QueryWindow& window);

// All layers of a policy whose KV heads compete for one budget (BudgetScope::kModel) after
// eviction; none for a layer that keeps everything. Errors as evict().
[[nodiscard]] std::vector<std::optional<RaggedLayer>> evict_together(const EvictionPolicy& policy,
                                                                     const BudgetPlan& plan,
                                                                     const FullKvCache& full);

// Evicts from a layer of which something was evicted before. `window` holds the last queries that
// went through. Softmax weights are over the keys now held.
//
// KV heads that hold equally many keys are judged by the policy as one layer, which is exact. Where
// they differ in length there is no common set of positions to rank: then each KV head is judged as
// a layer of its own, by its own query heads; of these by the selector heads among them, if any.
// The policy is one of those that judges_by_held_keys().
void evict_again(const LayerBudget& budget, const QueryWindow& window, RaggedLayer& ragged);

}  // namespace headscope::runtime
