// What the user asked for, in one of three units, turned into tokens per KV head.
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

// Mean tokens per KV head: rounded down, so that the request is never exceeded; but a retention
// never gives less than one token. InputError where nothing, too much, or nonsense is asked.
[[nodiscard]] int64_t resolve_budget(const BudgetRequest& request, const ModelShape& shape);

}  // namespace headscope::analysis
