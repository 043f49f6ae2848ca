#include "analysis/headkv_allocator.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/allocation_bounds.h"
#include "analysis/allocation_result.h"
#include "analysis/query_group.h"
#include "analysis/score_check.h"
#include "analysis/share_lines.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

// A score per KV head, summing to 1; all equal where the rank has none above 0.
std::vector<double> shares_of(const AllocatorInput& input) {
  const HeadMatrix groups = without_gaps(
      reduce_query_groups(input.head_scores, input.shape.num_kv_heads, input.headkv.reduction));
  std::vector<double> shares = groups.values;
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) {
    share = sum > 0.0 ? share / sum : 1.0 / static_cast<double>(shares.size());
  }
  return shares;
}

void check_as_published(const AllocatorInput& input) {
  if (input.page_tokens != 1 || input.num_ranks != 1 || input.min_tokens || input.max_tokens) {
    throw InputError("--as-published", "no --page-size, --tp-ranks, --min-tokens or --max-tokens",
                     "one of them", "The published rule knows none of them.");
  }
  if (input.budget_tokens <= input.selection.observation_window) {
    throw InputError("--as-published",
                     "a budget above the observation window of " +
                         std::to_string(input.selection.observation_window) + " tokens",
                     std::to_string(input.budget_tokens));
  }
}

}  // namespace

std::vector<int64_t> headkv_published_budgets(const std::vector<double>& scores,
                                              int64_t budget_tokens,
                                              int64_t window,
                                              double beta) {
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  const auto base = static_cast<double>(budget_tokens - window);
  const double shared = std::floor(base / beta);
  const double pool = shared * static_cast<double>(scores.size());
  std::vector<int64_t> budgets;
  for (const double score : scores) {
    const double cap = std::nearbyint(score / sum * pool + (base - shared));
    budgets.push_back(static_cast<int64_t>(cap) + window);
  }
  return budgets;
}

void HeadKvAllocator::check(const AllocatorInput& input) const {
  check_scores(input.head_scores, input.shape, input.shape.num_query_heads, "head scores",
               "Measure them with headscope profile.");
  if (!(input.headkv.beta >= 1.0) || std::isinf(input.headkv.beta)) {
    throw InputError("--beta", "a number of at least 1", std::to_string(input.headkv.beta));
  }
}

Allocation HeadKvAllocator::allocate(const AllocatorInput& input) const {
  if (!input.headkv.as_published) return Allocator::allocate(input);
  const AllocationBounds bounds = resolve_bounds(input, own_floor(input), own_ceiling(input));
  check(input);
  check_as_published(input);
  const std::vector<int64_t> budgets = headkv_published_budgets(
      shares_of(input), input.budget_tokens, input.selection.observation_window, input.headkv.beta);
  Allocation allocation;
  const auto heads = static_cast<size_t>(input.shape.num_kv_heads);
  for (auto layer = budgets.begin(); layer != budgets.end();) {
    const auto next = layer + static_cast<std::ptrdiff_t>(heads);
    allocation.budget_tokens.emplace_back(layer, next);
    layer = next;
  }
  finish_allocation(input, own_floor(input), bounds.floor_tokens, allocation);
  allocation.lint.notes.push_back("as published: budgets sum to " +
                                  std::to_string(allocation.lint.nominal_tokens) + " of the " +
                                  std::to_string(asked_tokens(input)) +
                                  " tokens asked for, and nothing is redistributed");
  return allocation;
}

std::vector<int64_t> HeadKvAllocator::share_out(const ShareProblem& problem) const {
  const AllocatorInput& input = problem.input;
  const double page = static_cast<double>(input.page_tokens);
  const double mean = problem.mean_tokens();
  const double window = std::min(static_cast<double>(input.selection.observation_window),
                                 static_cast<double>(problem.floor) * page);
  const double base = mean - window;
  const double shared = base / input.headkv.beta;
  std::vector<ShareLine> lines;
  for (const double share : shares_of(input)) {
    // The level at which the pool is spent is 1, unless a bound holds a head back.
    lines.push_back({.base = (base - shared + window) / page,
                     .slope = share * shared * static_cast<double>(problem.num_heads()) / page,
                     .low = problem.floor,
                     .high = problem.ceiling});
  }
  return share_along(lines, problem.total);
}

}  // namespace headscope::analysis
