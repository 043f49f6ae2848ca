#include "analysis/pyramid_allocator.h"

#include <algorithm>

#include "analysis/share_lines.h"

namespace headscope::analysis {

std::vector<int64_t> pyramid_budgets(int64_t num_layers,
                                     int64_t budget_tokens,
                                     int64_t window,
                                     int64_t context_length) {
  const int64_t base = budget_tokens - window;
  int64_t least = base / PyramidAllocator::kBeta;
  int64_t most = 2 * base - least;
  if (context_length > 0 && most >= context_length - window) {
    most = context_length - window;
    least = 2 * base - most;
  }
  if (num_layers == 1) return {budget_tokens};
  const int64_t step = (most - least) / (num_layers - 1);
  std::vector<int64_t> budgets;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    budgets.push_back(most - layer * step + window);
  }
  return budgets;
}

std::vector<int64_t> PyramidAllocator::share_out(const ShareProblem& problem) const {
  const AllocatorInput& input = problem.input;
  const int64_t page = input.page_tokens;
  const auto mean = static_cast<int64_t>(problem.mean_tokens());
  const int64_t window = std::min({input.selection.observation_window, problem.floor * page, mean});
  std::vector<ShareLine> lines;
  for (const int64_t budget :
       pyramid_budgets(problem.num_layers(), mean, window, input.context_length)) {
    const ShareLine line{.base = static_cast<double>(budget) / static_cast<double>(page),
                         .slope = 1.0,
                         .low = problem.floor,
                         .high = problem.ceiling};
    lines.insert(lines.end(), static_cast<size_t>(problem.num_kv_heads()), line);
  }
  return share_along(lines, problem.total);
}

}  // namespace headscope::analysis
