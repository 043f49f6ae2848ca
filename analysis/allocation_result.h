// From budgets to an Allocation: the lint, and an observation window that fits.
#pragma once

#include <cstdint>

#include "analysis/allocator.h"

namespace headscope::analysis {

// `allocation` holds the budgets and below_floor. Adds the lint and the selection: the window
// shrinks to at most half the budget where the budget lies below the method's floor, and to the
// smallest budget in any case; the lint says so, and what is not spent and why. `floor`: the
// smallest budget as it was applied, in tokens.
void finish_allocation(const AllocatorInput& input,
                       int64_t own_floor,
                       int64_t floor,
                       Allocation& allocation);

}  // namespace headscope::analysis
