#include "analysis/allocation_bounds.h"

#include <algorithm>
#include <stdexcept>

#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

// What a plan may hold (outputs/plan_values.cpp).
constexpr int64_t kMostTokens = int64_t{1} << 32;

std::string tokens(int64_t count) {
  return std::to_string(count) + (count == 1 ? " token" : " tokens");
}

int64_t pages_for(int64_t count, int64_t page) {
  return (count + page - 1) / page;
}

int64_t num_heads(const AllocatorInput& input) {
  return input.shape.num_layers * input.shape.num_kv_heads;
}

void check_at_least(const char* where, const char* expected, int64_t least, int64_t found) {
  if (found < least) {
    throw InputError(where, expected, std::to_string(found));
  }
}

void check_input(const AllocatorInput& input) {
  if (input.shape.num_layers < 1 || input.shape.num_kv_heads < 1) {
    throw std::invalid_argument("allocate: the model shape is empty");
  }
  if (input.extra_tokens < 0 || input.extra_tokens >= num_heads(input)) {
    throw std::invalid_argument("allocate: extra tokens are fewer than the KV heads");
  }
  check_at_least("--budget", "at least 1 token per KV head", 1, input.budget_tokens);
  if (input.budget_tokens > kMostTokens) {
    throw InputError("--budget", "at most " + tokens(kMostTokens) + " per KV head",
                     std::to_string(input.budget_tokens));
  }
  // 0 = a method that does not judge keys by queries (streaming).
  check_at_least("observation window", "0 tokens or more", 0, input.selection.observation_window);
  check_at_least("--context-length", "at least 1 token", 0, input.context_length);
  check_at_least("--page-size", "at least 1 token", 1, input.page_tokens);
  check_at_least("--tp-ranks", "at least 1 rank", 1, input.num_ranks);
  if (input.shape.num_kv_heads % input.num_ranks != 0) {
    throw InputError("--tp-ranks",
                     "a number that divides the " + std::to_string(input.shape.num_kv_heads) +
                         " KV heads of a layer",
                     std::to_string(input.num_ranks));
  }
}

void check_own_bounds(const AllocatorInput& input) {
  const int64_t budget = input.budget_tokens;
  if (input.min_tokens && (*input.min_tokens < 1 || *input.min_tokens > budget)) {
    throw InputError("--min-tokens", "1 to the budget of " + tokens(budget),
                     std::to_string(*input.min_tokens));
  }
  if (input.max_tokens && *input.max_tokens < budget) {
    throw InputError("--max-tokens", "at least the budget of " + tokens(budget),
                     std::to_string(*input.max_tokens), "Otherwise the budget cannot be spent.");
  }
  if (input.max_tokens && *input.max_tokens < input.page_tokens) {
    throw InputError("--max-tokens", "at least one page of " + tokens(input.page_tokens),
                     std::to_string(*input.max_tokens));
  }
}

// The columns of a matrix that belong to one rank.
HeadMatrix share_of(const HeadMatrix& matrix, int64_t rank, int64_t num_ranks) {
  if (matrix.num_heads % num_ranks != 0) return matrix;  // the allocator's check names the shape
  const int64_t width = matrix.num_heads / num_ranks;
  HeadMatrix share(matrix.num_layers, width);
  for (int64_t layer = 0; layer < matrix.num_layers; ++layer) {
    for (int64_t head = 0; head < width; ++head) {
      share.at(layer, head) = matrix.at(layer, rank * width + head);
    }
  }
  return share;
}

// The same of curves [num_layers, num_kv_heads, num_budgets].
std::vector<double> share_of(const std::vector<double>& error,
                             const AllocatorInput& whole,
                             int64_t rank) {
  const auto heads = static_cast<size_t>(whole.shape.num_kv_heads);
  const size_t width = heads / static_cast<size_t>(whole.num_ranks);
  const size_t points = whole.curves.budgets.size();
  if (error.size() != static_cast<size_t>(num_heads(whole)) * points) return error;
  std::vector<double> share;
  for (size_t layer = 0; layer < static_cast<size_t>(whole.shape.num_layers); ++layer) {
    const size_t first = (layer * heads + static_cast<size_t>(rank) * width) * points;
    const auto begin = error.begin() + static_cast<std::ptrdiff_t>(first);
    share.insert(share.end(), begin, begin + static_cast<std::ptrdiff_t>(width * points));
  }
  return share;
}

}  // namespace

int64_t asked_tokens(const AllocatorInput& input) {
  return input.budget_tokens * num_heads(input) + input.extra_tokens;
}

AllocationBounds resolve_bounds(const AllocatorInput& input,
                                int64_t own_floor,
                                int64_t own_ceiling) {
  check_input(input);
  check_own_bounds(input);
  const int64_t budget = input.budget_tokens;
  const int64_t page = input.page_tokens;
  AllocationBounds bounds;
  bounds.below_floor = budget < own_floor;
  bounds.floor_tokens = bounds.below_floor ? std::max<int64_t>(1, budget / 2) : own_floor;
  bounds.floor_tokens = input.min_tokens.value_or(bounds.floor_tokens);

  const int64_t rank_heads = num_heads(input) / input.num_ranks;
  bounds.rank_total = asked_tokens(input) / page / input.num_ranks;
  if (bounds.rank_total < rank_heads) {
    throw InputError("--page-size", "at most the budget of " + tokens(budget) + " per KV head",
                     tokens(page), "Every KV head needs a page.");
  }
  bounds.ceiling = input.max_tokens ? *input.max_tokens / page
                                    : std::max(pages_for(own_ceiling, page),
                                               pages_for(bounds.rank_total, rank_heads));
  if (input.context_length > 0) {
    bounds.ceiling = std::min(bounds.ceiling, pages_for(input.context_length, page));
  }
  bounds.rank_total = std::min(bounds.rank_total, bounds.ceiling * rank_heads);
  bounds.floor = std::max<int64_t>(
      1, std::min(pages_for(bounds.floor_tokens, page), bounds.rank_total / rank_heads));
  return bounds;
}

std::vector<AllocatorInput> split_ranks(const AllocatorInput& input) {
  std::vector<AllocatorInput> ranks;
  for (int64_t rank = 0; rank < input.num_ranks; ++rank) {
    AllocatorInput own = input;
    own.shape.num_kv_heads /= input.num_ranks;
    own.shape.num_query_heads /= input.num_ranks;
    for (HeadMatrix AllocatorInput::*scores :
         {&AllocatorInput::head_scores, &AllocatorInput::induction, &AllocatorInput::echo,
          &AllocatorInput::gates}) {
      own.*scores = share_of(input.*scores, rank, input.num_ranks);
    }
    own.curves.error = share_of(input.curves.error, input, rank);
    own.curves.squared_error = share_of(input.curves.squared_error, input, rank);
    ranks.push_back(std::move(own));
  }
  return ranks;
}

}  // namespace headscope::analysis
