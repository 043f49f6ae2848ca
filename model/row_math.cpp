#include "model/row_math.h"

#include <array>
#include <cmath>

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
