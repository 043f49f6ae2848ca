// Softmax over tiles of logits: running maximum and sum, mass of rows and of columns. Included
// through tile_kernels_body.h.
#pragma once

#include "kernels/tile_blocks.h"

namespace headscope::kernels {
namespace {

template <class V>
struct TileSoftmax {
  using Reg = typename V::Reg;
  static constexpr int64_t kWidth = V::kWidth;

  static float largest(const float* values, int64_t count) {
    float best = values[0];
    int64_t j = 0;
    if (count >= kWidth) {
      Reg most = V::load(values);
      for (j = kWidth; j + kWidth <= count; j += kWidth) most = V::max(most, V::load(values + j));
      best = V::reduce_max(most);
    }
    for (; j < count; ++j) best = values[j] > best ? values[j] : best;
    return best;
  }

  // exp2 of one number through the vector code, which std::exp2 does not round alike with.
  static float exp2_one(float x) {
    const float in[1] = {x};
    float out[1];
    V::store_part(out, V::exp2(V::load_part(in, 1)), 1);
    return out[0];
  }

  // The end of a row, count < kWidth numbers: out[j] = exp2(x[j] - m), and their sum in order.
  static float exp2_end(const float* x, Reg m, int64_t count, float* out) {
    if (count <= 0) return 0.0f;
    V::store_part(out, V::exp2(V::sub(V::load_part(x, count), m)), count);
    float sum = 0.0f;
    for (int64_t j = 0; j < count; ++j) sum += out[j];
    return sum;
  }

  static void softmax_step(float* logits,
                           int64_t ld,
                           int64_t rows,
                           int64_t count,
                           const int64_t* visible,
                           float* max,
                           float* sum,
                           float* rescale) {
    for (int64_t r = 0; r < rows; ++r) {
      float* x = logits + r * ld;
      const int64_t seen = visible ? visible[r] : count;
      if (seen <= 0) {
        for (int64_t j = 0; j < count; ++j) x[j] = 0.0f;
        rescale[r] = 1.0f;
        continue;
      }
      const float tile_max = largest(x, seen);
      const float new_max = tile_max > max[r] ? tile_max : max[r];
      if (new_max == -__builtin_inff()) {  // every key so far was masked by -inf
        for (int64_t j = 0; j < count; ++j) x[j] = 0.0f;
        rescale[r] = 1.0f;
        continue;
      }
      const float factor = exp2_one(max[r] - new_max);
      const Reg m = V::set1(new_max);
      Reg total = V::zero();
      int64_t j = 0;
      for (; j + kWidth <= seen; j += kWidth) {
        const Reg p = V::exp2(V::sub(V::load(x + j), m));
        V::store(x + j, p);
        total = V::add(total, p);
      }
      const float end = exp2_end(x + j, m, seen - j, x + j);
      for (j = seen; j < count; ++j) x[j] = 0.0f;
      sum[r] = sum[r] * factor + (V::reduce_add(total) + end);
      max[r] = new_max;
      rescale[r] = factor;
    }
  }

  static void add_mass(const float* logits,
                       int64_t ld,
                       int64_t rows,
                       int64_t count,
                       const int64_t* visible,
                       const float* lse,
                       float* out,
                       int64_t out_stride) {
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = logits + r * ld;
      const int64_t seen = visible ? visible[r] : count;
      const Reg m = V::set1(lse[r]);
      Reg total = V::zero();
      int64_t j = 0;
      for (; j + kWidth <= seen; j += kWidth) {
        total = V::add(total, V::exp2(V::sub(V::load(x + j), m)));
      }
      float weight[static_cast<size_t>(kWidth)];
      out[r * out_stride] += V::reduce_add(total) + exp2_end(x + j, m, seen - j, weight);
    }
  }

  // out[j] = sum over rows of value(row, logits of columns j ..).
  template <class Value>
  static void sum_columns(
      const float* x, int64_t ld, int64_t rows, int64_t count, const Value& value, float* out) {
    for (int64_t j = 0; j < count; j += kWidth) {
      const int64_t left = count - j;
      Reg sum = V::zero();
      for (int64_t r = 0; r < rows; ++r) {
        sum = V::add(sum, value(r, load_up_to<V>(x + r * ld + j, left)));
      }
      store_up_to<V>(out + j, sum, left);
    }
  }

  static void column_mass(const float* logits,
                          int64_t ld,
                          int64_t rows,
                          int64_t count,
                          const float* lse,
                          bool square,
                          float* out) {
    sum_columns(
        logits, ld, rows, count,
        [&](int64_t r, Reg x) {
          const Reg p = V::exp2(V::sub(x, V::set1(lse[r])));
          return square ? V::mul(p, p) : p;
        },
        out);
  }

  static void column_sums(const float* weight,
                          int64_t ld,
                          int64_t rows,
                          int64_t count,
                          const float* factor,
                          int64_t factor_stride,
                          bool square,
                          float* out) {
    sum_columns(
        weight, ld, rows, count,
        [&](int64_t r, Reg x) {
          const Reg p = V::mul(x, V::set1(factor[r * factor_stride]));
          return square ? V::mul(p, p) : p;
        },
        out);
  }
};

}  // namespace
}  // namespace headscope::kernels
