// From scores of keys to the order in which budgets take them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace headscope::profiler {

// The `count` best keys of every KV head, best first, by the runtime's own rule (equal scores: the
// earlier key): [num_kv_heads, count] int64. `scores` float32 has a row per KV head, or one row
// that all share.
[[nodiscard]] at::Tensor best_keys(const at::Tensor& scores,  // [num_kv_heads or 1, n]
                                   int64_t count,             // 0..n
                                   int64_t num_kv_heads);

}  // namespace headscope::profiler
