#include "runtime/memory_use.h"

#include <algorithm>
#include <vector>

#include "runtime/compensation.h"
#include "runtime/eviction_policy.h"
#include "runtime/full_layer.h"
#include "runtime/ragged_layer.h"

namespace headscope::runtime {

int64_t full_kv_bytes(const ModelShape& shape,
                      int64_t tokens,
                      int64_t bytes_per_element,
                      int64_t batch) {
  return batch * tokens * shape.kv_bytes_per_token(bytes_per_element);
}

int64_t planned_kv_bytes(const BudgetPlan& plan,
                         int64_t prompt_tokens,
                         int64_t bytes_per_element,
                         int64_t batch) {
  const std::vector<int64_t> lengths(static_cast<size_t>(batch), prompt_tokens);
  return planned_kv_bytes(plan, lengths, bytes_per_element);
}

int64_t planned_kv_bytes(const BudgetPlan& plan,
                         std::span<const int64_t> prompt_tokens,
                         int64_t bytes_per_element) {
  const EvictionPolicy& policy = find_policy(plan.method, "plan: method");
  const ModelShape& shape = plan.model.shape;
  const int64_t columns =
      prompt_tokens.empty() ? 0 : *std::max_element(prompt_tokens.begin(), prompt_tokens.end());
  const auto batch = static_cast<int64_t>(prompt_tokens.size());
  int64_t slots = 0;
  for (size_t layer = 0; layer < plan.budget_tokens.size(); ++layer) {
    const std::vector<int64_t>& budgets = plan.budget_tokens[layer];
    const bool everything_stays =
        !policy.evicts || std::all_of(budgets.begin(), budgets.end(),
                                      [&](int64_t budget) { return budget >= columns; });
    if (everything_stays) {
      slots += batch * shape.num_kv_heads * full_capacity(columns);
      continue;
    }
    const int64_t window = shape.attention_window.empty() ? 0 : shape.attention_window[layer];
    // A compensation token in place of one real one, in every row of the layer.
    const int64_t stand_in = is_compensated(policy, plan.selection, window) ? 1 : 0;
    for (const int64_t length : prompt_tokens) {
      const int64_t visible = window > 0 ? std::min(length, window - 1) : length;
      for (const int64_t budget : budgets) {
        const int64_t gone = budget < visible ? std::min(budget, stand_in) : 0;
        slots += ragged_capacity(std::min(budget, visible) - gone) + stand_in;
      }
    }
  }
  return 2 * slots * shape.head_dim * bytes_per_element;
}

}  // namespace headscope::runtime
