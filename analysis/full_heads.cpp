#include "analysis/full_heads.h"

#include <algorithm>
#include <string>

#include "analysis/share_lines.h"
#include "outputs/input_error.h"

namespace headscope::analysis {

std::vector<int64_t> share_with_full_heads(const ShareProblem& problem,
                                           const std::vector<bool>& full,
                                           const std::vector<double>& worth) {
  const auto num_full = static_cast<int64_t>(std::count(full.begin(), full.end(), true));
  const auto num_others = static_cast<int64_t>(full.size()) - num_full;
  const bool can_pay = num_full * problem.ceiling + num_others * problem.floor <= problem.total;
  std::vector<ShareLine> lines;
  for (size_t head = 0; head < full.size(); ++head) {
    const bool is_full = full[head];
    // Heads that stand still have slope 0; they move last, where nothing else can.
    const int64_t stands_at = is_full ? problem.ceiling : problem.floor;
    lines.push_back({.base = is_full == can_pay ? static_cast<double>(stands_at) : 0.0,
                     .slope = is_full == can_pay ? 0.0 : 1.0,
                     .low = problem.floor,
                     .high = problem.ceiling,
                     .priority = worth[head]});
  }
  return share_along(lines, problem.total);
}

void check_context_given(const AllocatorInput& input, const std::string& method) {
  if (input.context_length < 1) {
    throw InputError("--method " + method, "the context length that its full heads keep", "none",
                     "Give --context-length.");
  }
}

std::string describe_full_heads(const AllocatorInput& input, const Allocation& allocation) {
  int64_t num_full = 0;
  int64_t num_heads = 0;
  int64_t least = allocation.lint.largest_budget;
  int64_t most = 0;
  for (const std::vector<int64_t>& layer : allocation.budget_tokens) {
    for (const int64_t budget : layer) {
      const bool is_full = budget >= input.context_length;
      num_full += is_full ? 1 : 0;
      num_heads += 1;
      if (!is_full) {
        least = std::min(least, budget);
        most = std::max(most, budget);
      }
    }
  }
  std::string text = std::to_string(num_full) + " of " + std::to_string(num_heads) +
                     " KV heads keep all of " + std::to_string(input.context_length) + " tokens";
  if (num_full < num_heads) {
    text += ", the others " + std::to_string(least) +
            (most > least ? " to " + std::to_string(most) : std::string()) +
            ": the first tokens and the most recent ones";
  }
  return text + "; of a longer prompt the full heads keep no more than that";
}

}  // namespace headscope::analysis
