#include "analysis/budget_request.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

TokenBudget shared_evenly(int64_t total, const ModelShape& shape) {
  const int64_t num_heads = shape.num_layers * shape.num_kv_heads;
  return {.per_kv_head = total / num_heads, .extra = total % num_heads};
}

TokenBudget from_tokens(int64_t tokens) {
  if (tokens < 1) {
    throw InputError("--budget", "at least 1 token per KV head", std::to_string(tokens));
  }
  return {.per_kv_head = tokens, .extra = 0};
}

TokenBudget from_bytes(int64_t bytes, int64_t bytes_per_element, const ModelShape& shape) {
  const int64_t per_token = shape.kv_bytes_per_token(bytes_per_element);
  if (per_token < 1) {
    throw std::invalid_argument("resolve_budget: the model shape is empty");
  }
  if (bytes < per_token) {
    throw InputError("--bytes", "at least the " + std::to_string(per_token) + " bytes of one token",
                     std::to_string(bytes));
  }
  return shared_evenly(bytes / (2 * shape.head_dim * bytes_per_element), shape);
}

TokenBudget from_retention(double retention, int64_t context_length, const ModelShape& shape) {
  if (!(retention > 0.0 && retention <= 1.0)) {  // also refuses NaN
    throw InputError("--retention", "a kept share above 0 and at most 1",
                     std::to_string(retention));
  }
  if (context_length < 1) {
    throw InputError("--retention", "a context length of at least 1 token to take the share of",
                     context_length == 0 ? "none" : std::to_string(context_length),
                     "Give --context-length, or the budget in tokens with --budget.");
  }
  const int64_t num_heads = shape.num_layers * shape.num_kv_heads;
  // 0.3 * 10 is 2.9999…: what is a whole number but for rounding counts as that number.
  const double tokens = retention * static_cast<double>(context_length * num_heads);
  const auto total = static_cast<int64_t>(std::floor(tokens * (1.0 + 1e-12)));
  return shared_evenly(std::max(num_heads, total), shape);
}

}  // namespace

TokenBudget resolve_budget(const BudgetRequest& request, const ModelShape& shape) {
  const int given = static_cast<int>(request.tokens.has_value()) +
                    static_cast<int>(request.bytes.has_value()) +
                    static_cast<int>(request.retention.has_value());
  if (given != 1) {
    throw InputError("budget", "exactly one of --budget, --bytes and --retention",
                     std::to_string(given));
  }
  if (request.tokens) {
    return from_tokens(*request.tokens);
  }
  if (request.bytes) {
    return from_bytes(*request.bytes, request.bytes_per_element, shape);
  }
  return from_retention(*request.retention, request.context_length, shape);
}

}  // namespace headscope::analysis
