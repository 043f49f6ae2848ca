#include "model/row_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

// The sanitizers' start-up comes after that of the choice between copies.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define HEADSCOPE_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HEADSCOPE_CLONES
#endif
// Bodies become part of each copy, and are compiled for its instruction set.
#define HEADSCOPE_INLINED inline __attribute__((always_inline))

namespace headscope::model {
namespace {

template <class Element>
HEADSCOPE_INLINED float mean_square(const Element* x, int64_t size) {
  // Independent partial sums: the loop is not bound by the latency of one addition, and the
  // rounding error grows with size / 16 instead of size.
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> partial{};
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= size; i += static_cast<int64_t>(kLanes)) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<float>(x[static_cast<size_t>(i) + lane]);
      partial[lane] += value * value;
    }
  }
  float sum = 0.0F;
  for (; i < size; ++i) sum += static_cast<float>(x[i]) * static_cast<float>(x[i]);
  for (const float value : partial) sum += value;
  return sum / static_cast<float>(size);
}

template <class Element>
HEADSCOPE_INLINED Element scaled(Element x, Element weight, float scale) {
  const auto normalised = static_cast<Element>(static_cast<float>(x) * scale);
  return static_cast<Element>(static_cast<float>(weight) * static_cast<float>(normalised));
}

template <class Element>
HEADSCOPE_INLINED void scale_row(const Element* __restrict x,
                                 const Element* __restrict weight,
                                 Element* __restrict out,
                                 int64_t size,
                                 float scale) {
  for (int64_t i = 0; i < size; ++i) out[i] = scaled(x[i], weight[i], scale);
}

template <class Element>
HEADSCOPE_INLINED void scale_row_in_place(Element* __restrict row,
                                          const Element* __restrict weight,
                                          int64_t size,
                                          float scale) {
  for (int64_t i = 0; i < size; ++i) row[i] = scaled(row[i], weight[i], scale);
}

template <class Element>
HEADSCOPE_INLINED void normalise(
    const Element* x, const Element* weight, Element* out, int64_t size, float eps) {
  const float scale = 1.0F / std::sqrt(mean_square(x, size) + eps);
  if (out == x) {
    scale_row_in_place(out, weight, size, scale);
  } else {
    scale_row(x, weight, out, size, scale);
  }
}

// e^x to 2 units in the last place, as a loop that the compiler can vectorise. Beyond +-88 it stays
// at what it is there, 1.7e38 and 0; a NaN counts as 88.
HEADSCOPE_INLINED float exponential(float x) {
  constexpr float kRound = 0x1.8p23F;  // adding it leaves a whole number in the low bits
  constexpr float kLog2E = 0x1.715476p+0F;
  constexpr float kLn2High = 0x1.62e4p-1F, kLn2Low = 0x1.7f7d1cp-20F;
  constexpr uint32_t kSign = 0x80000000U, kMost = std::bit_cast<uint32_t>(88.0F);
  // Bounded as a whole number: of the two comparisons of a float the compiler makes branches.
  const auto bits = std::bit_cast<uint32_t>(x);
  x = std::bit_cast<float>(std::min(bits & ~kSign, kMost) | (bits & kSign));
  const float shifted = x * kLog2E + kRound;
  const float whole = shifted - kRound;
  const float f = (x - whole * kLn2High) - whole * kLn2Low;
  // Taylor's series to f^7 / 7!: |f| <= ln(2) / 2 leaves an error below 1e-8.
  float p = 1.0F / 5040.0F;
  p = p * f + 1.0F / 720.0F;
  p = p * f + 1.0F / 120.0F;
  p = p * f + 1.0F / 24.0F;
  p = p * f + 1.0F / 6.0F;
  p = p * f + 0.5F;
  p = p * f * f + f + 1.0F;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) << 23) + 0x3F800000U;
  return p * std::bit_cast<float>(exponent);
}

HEADSCOPE_INLINED float rounded(float x, const float* /*type*/) {
  return x;
}

// To the nearest bfloat16, ties to even. A NaN stays one where it came from a bfloat16 or an
// instruction: its lower half is 0 then.
HEADSCOPE_INLINED float rounded(float x, const at::BFloat16* /*type*/) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

HEADSCOPE_INLINED void store(float x, float* out) {
  *out = x;
}

// The upper half, the lower being 0.
HEADSCOPE_INLINED void store(float x, at::BFloat16* out) {
  const auto bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
  *out = at::BFloat16(bits, at::BFloat16::from_bits());
}

template <class Element>
HEADSCOPE_INLINED void gated(const Element* __restrict gate,
                             const Element* __restrict up,
                             Element* __restrict out,
                             int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    const auto x = static_cast<float>(gate[i]);
    const float silu = rounded(x / (1.0F + exponential(-x)), out);
    store(rounded(silu * static_cast<float>(up[i]), out), out + i);
  }
}

template <class Element>
HEADSCOPE_INLINED void rotate(Element* __restrict lower,
                              Element* __restrict upper,
                              const float* __restrict cos,
                              const float* __restrict sin,
                              int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<float>(lower[i]);
    const auto y = static_cast<float>(upper[i]);
    lower[i] = static_cast<Element>(x * cos[i] - y * sin[i]);
    upper[i] = static_cast<Element>(y * cos[i] + x * sin[i]);
  }
}

}  // namespace

HEADSCOPE_CLONES void normalise_row(
    const float* x, const float* weight, float* out, int64_t size, float eps) {
  normalise(x, weight, out, size, eps);
}

HEADSCOPE_CLONES void normalise_row(
    const at::BFloat16* x, const at::BFloat16* weight, at::BFloat16* out, int64_t size, float eps) {
  normalise(x, weight, out, size, eps);
}

HEADSCOPE_CLONES void normalise_row(
    const at::Half* x, const at::Half* weight, at::Half* out, int64_t size, float eps) {
  normalise(x, weight, out, size, eps);
}

HEADSCOPE_CLONES void gate_row(const float* gate, const float* up, float* out, int64_t size) {
  gated(gate, up, out, size);
}

HEADSCOPE_CLONES void gate_row(const at::BFloat16* gate,
                               const at::BFloat16* up,
                               at::BFloat16* out,
                               int64_t size) {
  gated(gate, up, out, size);
}

HEADSCOPE_CLONES void rotate_pairs(
    float* lower, float* upper, const float* cos, const float* sin, int64_t count) {
  rotate(lower, upper, cos, sin, count);
}

HEADSCOPE_CLONES void rotate_pairs(
    at::BFloat16* lower, at::BFloat16* upper, const float* cos, const float* sin, int64_t count) {
  rotate(lower, upper, cos, sin, count);
}

HEADSCOPE_CLONES void rotate_pairs(
    at::Half* lower, at::Half* upper, const float* cos, const float* sin, int64_t count) {
  rotate(lower, upper, cos, sin, count);
}

}  // namespace headscope::model
