#include "runtime/memory_use.h"

#include <algorithm>

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
  const EvictionPolicy& policy = find_policy(plan.method, "plan: method");
  const ModelShape& shape = plan.model.shape;
  int64_t slots = 0;
  for (size_t layer = 0; layer < plan.budget_tokens.size(); ++layer) {
    const std::vector<int64_t>& budgets = plan.budget_tokens[layer];
    const bool everything_stays =
        !policy.evicts || std::all_of(budgets.begin(), budgets.end(),
                                      [&](int64_t budget) { return budget >= prompt_tokens; });
    if (everything_stays) {
      slots += shape.num_kv_heads * full_capacity(prompt_tokens);
      continue;
    }
    const int64_t window = shape.attention_window.empty() ? 0 : shape.attention_window[layer];
    const int64_t visible = window > 0 ? std::min(prompt_tokens, window - 1) : prompt_tokens;
    // A compensation token in place of one real one, in every row of the layer.
    const int64_t stand_in = is_compensated(policy, plan.selection, window) ? 1 : 0;
    for (const int64_t budget : budgets) {
      const int64_t gone = budget < visible ? std::min(budget, stand_in) : 0;
      slots += ragged_capacity(std::min(budget, visible) - gone) + stand_in;
    }
  }
  return 2 * batch * slots * shape.head_dim * bytes_per_element;
}

}  // namespace headscope::runtime
