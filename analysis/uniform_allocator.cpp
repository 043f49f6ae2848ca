#include "analysis/uniform_allocator.h"

#include "analysis/share_lines.h"

namespace headscope::analysis {

std::vector<int64_t> UniformAllocator::share_out(const ShareProblem& problem) const {
  const ShareLine line{.base = 0.0, .slope = 1.0, .low = problem.floor, .high = problem.ceiling};
  return share_along(std::vector<ShareLine>(problem.num_heads(), line), problem.total);
}

}  // namespace headscope::analysis
