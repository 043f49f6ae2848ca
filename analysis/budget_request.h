// What the user asked for, in one of three units, turned into tokens.
#pragma once

#include <cstdint>
#include <optional>

#include "outputs/model_shape.h"

namespace headscope::analysis {

// Exactly one of tokens, bytes and retention is given.
struct BudgetRequest {
  std::optional<int64_t> tokens;    // per KV head, observation window included; >= 1
  std::optional<int64_t> bytes;     // of keys and values in all layers together; > 0
  std::optional<double> retention;  // kept share of the prompt's bytes, (0, 1]
  int64_t context_length = 0;       // tokens of the prompt; needed by retention; 0 = not given
  int64_t bytes_per_element = 4;    // of the cache; used by bytes
};

// Tokens over all layers and KV heads together: per_kv_head in each of them and `extra` more.
struct TokenBudget {
  int64_t per_kv_head = 0;  // >= 1
  int64_t extra = 0;        // 0 .. num_layers * num_kv_heads - 1
  bool operator==(const TokenBudget&) const = default;
};

// Rounded down to the token, so that the request is never exceeded and less than one token of one
// KV head is left of it; but a retention never gives less than one token per KV head. InputError
// where nothing, too much, or nonsense is asked.
[[nodiscard]] TokenBudget resolve_budget(const BudgetRequest& request, const ModelShape& shape);

}  // namespace headscope::analysis
