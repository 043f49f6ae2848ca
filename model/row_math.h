// The decoder's element-wise arithmetic on one row, on the CPU: compiled for several instruction
// sets, of which the program's start picks one; all give the same numbers, bit for bit. Sums and
// products are float32 whatever the element type.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>

namespace headscope::model {

// out[i] = weight[i] * (x[i] / sqrt(mean(x^2) + eps)), the quotient rounded to the element type
// first, as transformers does. `out` may be `x`.
void normalise_row(const float* x, const float* weight, float* out, int64_t size, float eps);
void normalise_row(
    const at::BFloat16* x, const at::BFloat16* weight, at::BFloat16* out, int64_t size, float eps);
void normalise_row(
    const at::Half* x, const at::Half* weight, at::Half* out, int64_t size, float eps);

// out[i] = silu(gate[i]) * up[i], silu rounded to the element type first, as transformers does.
// silu(x) = x / (1 + e^-x) to 4 units in the last place of float32; below -88, where it is between
// 0 and -1e-36, it is x / 1.7e38. Not for float16: the compiler does not vectorise its conversions.
void gate_row(const float* gate, const float* up, float* out, int64_t size);
void gate_row(const at::BFloat16* gate, const at::BFloat16* up, at::BFloat16* out, int64_t size);

// Turns each pair (lower[i], upper[i]) by the angle whose cosine and sine are given.
void rotate_pairs(float* lower, float* upper, const float* cos, const float* sin, int64_t count);
void rotate_pairs(
    at::BFloat16* lower, at::BFloat16* upper, const float* cos, const float* sin, int64_t count);
void rotate_pairs(
    at::Half* lower, at::Half* upper, const float* cos, const float* sin, int64_t count);

}  // namespace headscope::model
