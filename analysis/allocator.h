// Shares a budget out among the layers and KV heads of a model. One file per allocator; to add one,
// derive from Allocator and name it in allocator.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/model_shape.h"

namespace headscope::analysis {

struct AllocatorInput {
  ModelShape shape;
  int64_t budget_tokens = 0;   // B: mean tokens per KV head, observation window included; >= 1
  SelectionOptions selection;  // as asked for
  int64_t context_length = 0;  // tokens, for the lint; 0 = not given
  std::optional<int64_t> min_tokens;  // per KV head, 1..B; default: the allocator's own floor
  std::optional<int64_t> max_tokens;  // per KV head, >= B; default: the allocator's own ceiling
  std::vector<double> layer_error;    // [num_layers], >= 0; empty for allocators that need none
};

struct Allocation {
  std::vector<std::vector<int64_t>> budget_tokens;  // [num_layers][num_kv_heads], sums to B * L * K
  SelectionOptions selection;  // as it can be used: the window never exceeds the smallest budget
  bool below_floor = false;    // B lies under the allocator's floor: floor and window were lowered
  PlanLint lint;
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual bool needs_layer_error() const = 0;
  // InputError for nonsense: a budget below 1, bounds that leave no room, errors that are NaN,
  // negative, all zero, or not one per layer. Spends the budget exactly.
  [[nodiscard]] virtual Allocation allocate(const AllocatorInput& input) const = 0;
};

// Names accepted by make_allocator, in the order shown to users.
[[nodiscard]] std::vector<std::string> allocator_names();

// InputError for an unknown name, listing the known ones.
[[nodiscard]] std::unique_ptr<Allocator> make_allocator(const std::string& name);

// Sizes and warnings for any budgets; context_length 0 = not given (then usable = nominal).
[[nodiscard]] PlanLint lint_budgets(const std::vector<std::vector<int64_t>>& budget_tokens,
                                    int64_t context_length);

}  // namespace headscope::analysis
