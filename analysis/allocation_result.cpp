#include "analysis/allocation_result.h"

#include <algorithm>

#include "analysis/allocation_bounds.h"
#include "analysis/plan_lint.h"

namespace headscope::analysis {
namespace {

std::string tokens(int64_t count) {
  return std::to_string(count) + (count == 1 ? " token" : " tokens");
}

// Why less is spent than was asked for; empty where no bound is the reason.
std::string unspent_reason(const AllocatorInput& input, int64_t spent) {
  const int64_t heads = input.shape.num_layers * input.shape.num_kv_heads;
  std::string why;
  if (input.context_length > 0 && spent >= heads * input.context_length) {
    why = "every KV head holds the whole context of " + tokens(input.context_length);
  } else {
    if (input.page_tokens > 1) why = "budgets are whole pages of " + tokens(input.page_tokens);
    if (input.num_ranks > 1) {
      why += (why.empty() ? "" : " and ") + std::to_string(input.num_ranks) +
             " ranks have equal shares";
    }
  }
  return why;
}

// The window shrinks to at most half the budget where the budget lies below the floor, and to the
// smallest budget in any case.
void fit_window(const AllocatorInput& input, Allocation& allocation) {
  int64_t& window = allocation.selection.observation_window;
  const int64_t asked = window;
  if (allocation.below_floor) {
    window = std::min(window, std::max<int64_t>(1, input.budget_tokens / 2));
  }
  window = std::min(window, allocation.lint.smallest_budget);
  if (window < asked) {
    allocation.lint.notes.push_back("the observation window was lowered from " + tokens(asked) +
                                    " to " + tokens(window) + " to fit the smallest budget");
  }
}

}  // namespace

void finish_allocation(const AllocatorInput& input,
                       int64_t own_floor,
                       int64_t floor,
                       Allocation& allocation) {
  std::vector<int64_t> contexts = input.lint_contexts;
  if (input.context_length > 0) contexts.insert(contexts.begin(), input.context_length);
  allocation.selection = input.selection;
  allocation.lint = lint_budgets(allocation.budget_tokens, contexts,
                                 2 * input.shape.head_dim * input.bytes_per_element);
  std::vector<std::string>& notes = allocation.lint.notes;
  const int64_t asked = asked_tokens(input);
  const std::string reason = unspent_reason(input, allocation.lint.nominal_tokens);
  if (allocation.lint.nominal_tokens < asked && !reason.empty()) {
    notes.push_back(std::to_string(asked - allocation.lint.nominal_tokens) + " of " +
                    tokens(asked) + " are not spent: " + reason);
  }
  if (allocation.below_floor) {
    notes.push_back("the budget of " + tokens(input.budget_tokens) +
                    " lies below the method's floor of " + tokens(own_floor) +
                    "; the floor was lowered to " + tokens(floor));
  }
  fit_window(input, allocation);
}

}  // namespace headscope::analysis
