// The second opinion on the kernels: each op of kernels/ops.h from its definition, in float64 on
// the CPU, and how far float32 arithmetic may lie from it.
//
// The bounds are derived, not tuned. u = 2^-24 is the rounding of float32. A dot product of d terms
// that add up to A in absolute value errs by about sqrt(d) u A (the roundings of its partial sums
// are independent). A softmax weight exp(x - lse) then errs by twice that, relatively, and a few u
// for exp itself; sums of S weights by sqrt(S) u more.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace headscope::profiler {

struct RoundingBounds {
  double logit = 0.0;   // absolute, of scale * q.k and of a log-sum-exp
  double weight = 0.0;  // relative, of attention weights and sums of them
};

[[nodiscard]] RoundingBounds rounding_bounds(const at::Tensor& q,  // [Hq, n, d]
                                             const at::Tensor& k,  // [Hkv, S, d]
                                             double scale);

// Largest rounding of an output stored in `dtype`, relative: 2^-24, 2^-11 (float16), 2^-8
// (bfloat16).
[[nodiscard]] double unit_roundoff(at::ScalarType dtype);

// Logits [Hq, n, S] of rows at first_position + i; minus infinity where a key is not seen.
[[nodiscard]] at::Tensor reference_logits(const at::Tensor& q,  // [Hq, n, d]
                                          const at::Tensor& k,  // [Hkv, S, d]
                                          double scale,
                                          int64_t first_position,
                                          int64_t attention_window = 0);

// Weights times values, [Hq, n, d].
[[nodiscard]] at::Tensor reference_output(const at::Tensor& logits,  // [Hq, n, S]
                                          const at::Tensor& v);      // [Hkv, S, d]

// [Hq, S - w] from the logits of the last w rows [Hq, w, S].
[[nodiscard]] at::Tensor reference_importance(const at::Tensor& logits,
                                              const kernels::WindowImportanceOptions& options);

// Positions of the `count` largest of a row [n], ascending: a full sort, ties to the lower one.
[[nodiscard]] std::vector<int64_t> reference_selection(const at::Tensor& row, int64_t count);

// [num_cuts, Hq, n, d]: attention over exactly the kept keys, each budget on its own.
[[nodiscard]] at::Tensor reference_curve(const at::Tensor& logits,  // [Hq, n, S]
                                         const at::Tensor& v,       // [Hkv, S, d]
                                         const at::Tensor& order,   // [Hkv, m]
                                         const std::vector<int64_t>& cuts,
                                         int64_t tail_begin);

}  // namespace headscope::profiler
