#include "analysis/allocator.h"

#include <algorithm>

#include "analysis/allocation_bounds.h"
#include "analysis/allocation_result.h"

namespace headscope::analysis {

int64_t Allocator::own_floor(const AllocatorInput& input) const {
  return std::max<int64_t>(1, input.selection.observation_window);
}

int64_t Allocator::own_ceiling(const AllocatorInput& input) const {
  return input.context_length > 0 ? input.context_length : asked_tokens(input);
}

void Allocator::check(const AllocatorInput&) const {}

void Allocator::add_notes(const AllocatorInput&, Allocation&) const {}

Allocation Allocator::allocate(const AllocatorInput& input) const {
  const AllocationBounds bounds = resolve_bounds(input, own_floor(input), own_ceiling(input));
  check(input);
  Allocation allocation;
  allocation.below_floor = bounds.below_floor;
  allocation.budget_tokens.resize(static_cast<size_t>(input.shape.num_layers));
  for (const AllocatorInput& rank : split_ranks(input)) {
    const std::vector<int64_t> pages =
        share_out({rank, bounds.rank_total, bounds.floor, bounds.ceiling});
    const auto width = static_cast<size_t>(rank.shape.num_kv_heads);
    for (size_t i = 0; i < pages.size(); ++i) {
      allocation.budget_tokens[i / width].push_back(pages[i] * input.page_tokens);
    }
  }
  finish_allocation(input, own_floor(input), bounds.floor_tokens, allocation);
  add_notes(input, allocation);
  return allocation;
}

}  // namespace headscope::analysis
