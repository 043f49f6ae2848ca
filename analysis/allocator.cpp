#include "analysis/allocator.h"

#include <algorithm>

#include "analysis/compresskv_allocator.h"
#include "analysis/uniform_allocator.h"
#include "outputs/input_error.h"

namespace headscope::analysis {

std::vector<std::string> allocator_names() {
  return {"uniform", "compresskv"};
}

std::unique_ptr<Allocator> make_allocator(const std::string& name) {
  if (name == "uniform") {
    return std::make_unique<UniformAllocator>();
  }
  if (name == "compresskv") {
    return std::make_unique<CompressKvAllocator>();
  }
  std::string known;
  for (const std::string& each : allocator_names()) {
    known += (known.empty() ? "" : ", ") + each;
  }
  throw InputError("--method", "one of " + known, "\"" + name + "\"");
}

PlanLint lint_budgets(const std::vector<std::vector<int64_t>>& budget_tokens,
                      int64_t context_length) {
  PlanLint lint;
  lint.context_length = context_length;
  bool is_first = true;
  int64_t too_long = 0;
  int64_t num_heads = 0;
  for (const std::vector<int64_t>& layer : budget_tokens) {
    for (const int64_t budget : layer) {
      const bool is_wasted = context_length > 0 && budget > context_length;
      lint.nominal_tokens += budget;
      lint.usable_tokens += is_wasted ? context_length : budget;
      lint.smallest_budget = is_first ? budget : std::min(lint.smallest_budget, budget);
      lint.largest_budget = std::max(lint.largest_budget, budget);
      too_long += is_wasted ? 1 : 0;
      num_heads += 1;
      is_first = false;
    }
  }
  if (too_long > 0) {
    lint.notes.push_back(std::to_string(too_long) + " of " + std::to_string(num_heads) +
                         " KV heads have a budget above the context length of " +
                         std::to_string(context_length) + " tokens; " +
                         std::to_string(lint.nominal_tokens - lint.usable_tokens) + " of " +
                         std::to_string(lint.nominal_tokens) + " tokens cannot be used");
  }
  return lint;
}

}  // namespace headscope::analysis
