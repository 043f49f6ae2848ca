#include "analysis/uniform_allocator.h"

#include "analysis/allocation_bounds.h"

namespace headscope::analysis {

Allocation UniformAllocator::allocate(const AllocatorInput& input) const {
  const int64_t own_floor = input.selection.observation_window;
  const AllocationBounds bounds = resolve_bounds(input, own_floor, input.budget_tokens);
  const std::vector<int64_t> layers(static_cast<size_t>(input.shape.num_layers),
                                    input.budget_tokens);
  return finish_allocation(input, bounds, layers, own_floor);
}

}  // namespace headscope::analysis
