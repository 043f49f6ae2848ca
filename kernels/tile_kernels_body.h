// The tile kernels over a vector type, included by one .cpp per instruction set. `V` offers: Reg,
// kWidth; register blocking: kMaxRows (rows of add_values), kDotRows (of dot_logits), kLaneRegs and
// kLaneKeys (of row_logits); load / load_part of float and of the two 16-bit types, store /
// store_part, stream / end_streams, zero, set1, add, sub, mul, max, fma, reductions, exp2,
// transpose, at_least, choose_at_least and store_lanes.
//
// Everything has internal linkage, and nothing from the standard library that could be emitted out
// of line is used: a function compiled here for AVX-512 must never be the copy that the linker
// keeps for the rest of the program.
#pragma once

#include "kernels/tile_lanes_body.h"
#include "kernels/tile_products_body.h"
#include "kernels/tile_softmax_body.h"
#include "kernels/tile_values_body.h"

namespace headscope::kernels {
namespace {

template <class V>
int64_t collect_at_least(
    const float* values, int64_t begin, int64_t end, float threshold, int32_t* out_position) {
  constexpr int64_t kWidth = V::kWidth, kStep = 4 * kWidth;
  const typename V::Reg bar = V::set1(threshold);
  int32_t* out = out_position;
  int64_t j = begin;
  for (; j + kStep <= end; j += kStep) {
    uint64_t hits[4];
    for (int i = 0; i < 4; ++i) hits[i] = V::at_least(V::load(values + j + i * kWidth), bar);
    if ((hits[0] | hits[1] | hits[2] | hits[3]) == 0) continue;
    for (int i = 0; i < 4; ++i) {
      out += V::store_lanes(hits[i], static_cast<int32_t>(j + i * kWidth), out);
    }
  }
  for (; j < end; ++j) {
    if (values[j] >= threshold) *out++ = static_cast<int32_t>(j);
  }
  return out - out_position;
}

// store_lanes() of a V without an instruction for it.
inline int64_t store_lanes_one_by_one(uint64_t hits, int32_t first, int32_t* out) {
  int64_t count = 0;
  for (; hits != 0; hits &= hits - 1) out[count++] = first + __builtin_ctzll(hits);
  return count;
}

template <class V>
TileKernels make_tile_kernels() {
  using Products = TileProducts<V>;
  using Softmax = TileSoftmax<V>;
  using Values = TileValues<V>;
  using Lanes = TileLanes<V, FloatProduct<V>>;
  return {{Values::template widen<float>, Values::template widen<BFloat16Bits>,
           Values::template widen<Float16Bits>},
          V::kWidth,
          Products::pack_rows,
          Products::unpack_rows,
          Lanes::attend,
          {Lanes::template pack_values<float>, Lanes::template pack_values<BFloat16Bits>,
           Lanes::template pack_values<Float16Bits>},
          Products::template row_logits<FloatProduct<V>>,
          {Products::template dot_logits<float>, Products::template dot_logits<BFloat16Bits>,
           Products::template dot_logits<Float16Bits>},
          /*bfloat16=*/nullptr,
          Softmax::softmax_step,
          Softmax::add_mass,
          Softmax::column_mass,
          Softmax::column_sums,
          {Values::template add_values<float>, Values::template add_values<BFloat16Bits>,
           Values::template add_values<Float16Bits>},
          Values::copy_rows,
          Softmax::largest,
          collect_at_least<V>};
}

// 2^x on [-0.5, 0.5]: minimax polynomial of degree 6, relative error 1.9e-9 before rounding.
constexpr float kExp2Polynomial[7] = {1.0f,
                                      6.931472057e-1f,
                                      2.402264689e-1f,
                                      5.550328776e-2f,
                                      9.618488981e-3f,
                                      1.339993164e-3f,
                                      1.534580670e-4f};
// Below this, and at it, exp2 gives exactly 0.
constexpr float kExp2Floor = -127.0f;
constexpr float kExp2Ceiling = 127.0f;
// Plus this, a number between the two is rounded to a whole one, and the lowest eight bits hold
// its exponent as float32 stores it. Minus this, the whole number comes back.
constexpr float kRoundToExponent = 0x1.8p23f + 127.0f;

}  // namespace
}  // namespace headscope::kernels
