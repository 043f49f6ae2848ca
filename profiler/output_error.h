// How far an attention output lies from the full one, after the output projection: for the whole
// layer and for each KV head's share of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace headscope::profiler {

// In the denominator, as CompressKV's paper has it (2508.02401 Eq. 9; its program uses 1e-5).
inline constexpr double kErrorEpsilon = 1e-6;

// [num_budgets, 1 + num_kv_heads, R] float32: first the layer's
//   ||W_O (z_kept - z_full)|| / (||W_O z_full|| + kErrorEpsilon),
// then the same with one KV head's query heads alone in the numerator (the projection is linear:
// the layer's difference is the sum of these shares). All budgets and rows go through the
// projection at once.
[[nodiscard]] at::Tensor relative_output_errors(
    const at::Tensor& z_kept,  // [num_budgets, Hq, R, d] float32
    const at::Tensor& z_full,  // [Hq, R, d]
    const at::Tensor& w_o,     // [hidden, Hq * d] float32
    int64_t num_kv_heads);

}  // namespace headscope::profiler
