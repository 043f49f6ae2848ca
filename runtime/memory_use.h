// Bytes of keys and values, before anything is allocated.
#pragma once

#include <cstdint>
#include <span>

#include "outputs/budget_plan.h"
#include "outputs/model_shape.h"

namespace headscope::runtime {

// Keys and values of `tokens` tokens in all layers and KV heads, without slack: what a full cache
// needs at least.
[[nodiscard]] int64_t full_kv_bytes(const ModelShape& shape,
                                    int64_t tokens,
                                    int64_t bytes_per_element,
                                    int64_t batch = 1);

// What a cache made from the plan holds (bytes_held(), slack included) once a prompt of
// `prompt_tokens` is read. Methods that share budgets out prompt by prompt (BudgetScope) hold the
// same number of tokens with other lengths per head, so that their slack differs by up to 64 tokens
// per head. InputError for an unknown method.
[[nodiscard]] int64_t planned_kv_bytes(const BudgetPlan& plan,
                                       int64_t prompt_tokens,
                                       int64_t bytes_per_element,
                                       int64_t batch = 1);

// The same for a batch of prompts of different lengths, padded on the left to the longest.
[[nodiscard]] int64_t planned_kv_bytes(const BudgetPlan& plan,
                                       std::span<const int64_t> prompt_tokens,
                                       int64_t bytes_per_element);

}  // namespace headscope::runtime
