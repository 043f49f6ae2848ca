// What every allocator does before and after its own rule: checks, floors, the observation window.
#pragma once

#include <cstdint>

#include "analysis/allocator.h"

namespace headscope::analysis {

struct AllocationBounds {
  int64_t floor = 1;         // smallest budget of a KV head, 1..B
  int64_t ceiling = 1;       // largest, >= B
  bool below_floor = false;  // B lies under the allocator's own floor, which became half of B
};

// Checks the budget, the shape, the selection options and the user's own bounds. `own_floor` gives
// way to half the budget where it exceeds the budget, and to the user's min_tokens; `own_ceiling`
// to max_tokens. InputError for nonsense.
[[nodiscard]] AllocationBounds resolve_bounds(const AllocatorInput& input,
                                              int64_t own_floor,
                                              int64_t own_ceiling);

// Budgets per layer -> an Allocation: every KV head of a layer gets its layer's budget, the window
// shrinks to at most half the budget where the budget lies below the floor, and to the smallest
// budget in any case; the lint says all of it.
[[nodiscard]] Allocation finish_allocation(const AllocatorInput& input,
                                           const AllocationBounds& bounds,
                                           const std::vector<int64_t>& layer_budgets,
                                           int64_t own_floor);

}  // namespace headscope::analysis
