#include "analysis/allocation_bounds.h"

#include <algorithm>
#include <stdexcept>

#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

std::string tokens(int64_t count) {
  return std::to_string(count) + (count == 1 ? " token" : " tokens");
}

void check_input(const AllocatorInput& input) {
  if (input.shape.num_layers < 1 || input.shape.num_kv_heads < 1) {
    throw std::invalid_argument("allocate: the model shape is empty");
  }
  if (input.budget_tokens < 1) {
    throw InputError("--budget", "at least 1 token per KV head",
                     std::to_string(input.budget_tokens));
  }
  // 0 = a method that does not judge keys by queries (streaming).
  if (input.selection.observation_window < 0) {
    throw InputError("observation window", "0 tokens or more",
                     std::to_string(input.selection.observation_window));
  }
  if (input.context_length < 0) {
    throw InputError("--context-length", "at least 1 token", std::to_string(input.context_length));
  }
}

}  // namespace

AllocationBounds resolve_bounds(const AllocatorInput& input,
                                int64_t own_floor,
                                int64_t own_ceiling) {
  check_input(input);
  const int64_t budget = input.budget_tokens;
  if (input.min_tokens && (*input.min_tokens < 1 || *input.min_tokens > budget)) {
    throw InputError("--min-tokens", "1 to the budget of " + tokens(budget),
                     std::to_string(*input.min_tokens));
  }
  if (input.max_tokens && *input.max_tokens < budget) {
    throw InputError("--max-tokens", "at least the budget of " + tokens(budget),
                     std::to_string(*input.max_tokens), "Otherwise the budget cannot be spent.");
  }
  AllocationBounds bounds;
  bounds.below_floor = budget < own_floor;
  bounds.floor = bounds.below_floor ? std::max<int64_t>(1, budget / 2) : own_floor;
  bounds.floor = input.min_tokens.value_or(bounds.floor);
  bounds.ceiling = input.max_tokens.value_or(std::max(own_ceiling, budget));
  return bounds;
}

Allocation finish_allocation(const AllocatorInput& input,
                             const AllocationBounds& bounds,
                             const std::vector<int64_t>& layer_budgets,
                             int64_t own_floor) {
  Allocation allocation;
  allocation.selection = input.selection;
  allocation.below_floor = bounds.below_floor;
  for (const int64_t budget : layer_budgets) {
    allocation.budget_tokens.emplace_back(static_cast<size_t>(input.shape.num_kv_heads), budget);
  }
  allocation.lint = lint_budgets(allocation.budget_tokens, input.context_length);
  std::vector<std::string>& notes = allocation.lint.notes;
  if (bounds.below_floor) {
    notes.push_back("the budget of " + tokens(input.budget_tokens) +
                    " lies below the method's floor of " + tokens(own_floor) +
                    "; the floor was lowered to " + tokens(bounds.floor));
  }
  int64_t& window = allocation.selection.observation_window;
  const int64_t asked = window;
  if (bounds.below_floor) {
    window = std::min(window, std::max<int64_t>(1, input.budget_tokens / 2));
  }
  window = std::min(window, allocation.lint.smallest_budget);
  if (window < asked) {
    notes.push_back("the observation window was lowered from " + tokens(asked) + " to " +
                    tokens(window) + " to fit the smallest budget");
  }
  return allocation;
}

}  // namespace headscope::analysis
