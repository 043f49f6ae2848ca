// What every allocator does before its own rule: checks, floors and ceilings, pages, ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// The bounds of one KV head and the share of one rank, in pages.
struct AllocationBounds {
  int64_t floor = 1;
  int64_t ceiling = 1;       // >= floor
  int64_t rank_total = 0;    // in floor .. ceiling times the KV heads of a rank
  bool below_floor = false;  // B lies under the allocator's own floor, which became half of B
  int64_t floor_tokens = 1;  // the floor before it was counted in pages
};

// Tokens asked for: B in every KV head and the extra ones.
[[nodiscard]] int64_t asked_tokens(const AllocatorInput& input);

// Checks the budget, the shape, the selection options, pages, ranks and the user's own bounds.
// `own_floor` gives way to half the budget where it exceeds the budget, and to the user's
// min_tokens; `own_ceiling` to max_tokens; no ceiling exceeds the context length, in whole pages.
// InputError for nonsense.
[[nodiscard]] AllocationBounds resolve_bounds(const AllocatorInput& input,
                                              int64_t own_floor,
                                              int64_t own_ceiling);

// Rank r of R holds KV heads r K / R .. (r + 1) K / R - 1 of every layer and the query heads that
// read them: one input each, with that share of everything that is given per head. The budget
// stays as it is.
[[nodiscard]] std::vector<AllocatorInput> split_ranks(const AllocatorInput& input);

}  // namespace headscope::analysis
