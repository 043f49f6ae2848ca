// Rows of keys and values: widened to float32, and summed by weight. Included through
// tile_kernels_body.h.
#pragma once

#include "kernels/tile_blocks.h"

namespace headscope::kernels {
namespace {

template <class V>
struct TileValues {
  using Reg = typename V::Reg;
  static constexpr int64_t kWidth = V::kWidth;
  static constexpr int64_t kPair = 2 * kWidth;

  template <class T>
  static void widen(const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out) {
    for (int64_t j = 0; j < count; ++j) {
      const T* from = row_of<T>(kv, begin + j);
      float* to = out + j * d;
      int64_t c = 0;
      for (; c + kWidth <= d; c += kWidth) V::store(to + c, V::load(from + c));
      if (c < d) V::store_part(to + c, V::load_part(from + c, d - c), d - c);
    }
  }

  // kRows rows, columns [c, c + 2 * kWidth) or, with kPart, the last `left` < kWidth ones.
  template <class T, int kRows, bool kPart>
  static inline __attribute__((always_inline)) void value_block(const float* weight,
                                                                int64_t ld,
                                                                int64_t d,
                                                                int64_t c,
                                                                const KvRows& kv,
                                                                int64_t begin,
                                                                int64_t count,
                                                                const float* rescale,
                                                                float* out,
                                                                int64_t left) {
    constexpr int kRegs = kPart ? 1 : 2;
    RegisterBlock<V, kRows, kRegs> acc;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Reg factor = V::set1(rescale[r]);
      const float* from = out + r * d + c;
      acc.x[r][0] = V::mul(kPart ? V::load_part(from, left) : V::load(from), factor);
      if constexpr (!kPart) acc.x[r][1] = V::mul(V::load(from + kWidth), factor);
    }
    const T* value = static_cast<const T*>(kv.data) + begin * kv.stride + c;
    for (int64_t j = 0; j < count; ++j, value += kv.stride) {
      const Reg low = kPart ? V::load_part(value, left) : V::load(value);
      Reg high = V::zero();
      if constexpr (!kPart) high = V::load(value + kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Reg w = V::set1(weight[r * ld + j]);
        acc.x[r][0] = V::fma(w, low, acc.x[r][0]);
        if constexpr (!kPart) acc.x[r][1] = V::fma(w, high, acc.x[r][1]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      float* to = out + r * d + c;
      if constexpr (kPart) {
        V::store_part(to, acc.x[r][0], left);
      } else {
        V::store(to, acc.x[r][0]);
        V::store(to + kWidth, acc.x[r][1]);
      }
    }
  }

  template <class T>
  static void add_values(const float* weight,
                         int64_t ld,
                         int64_t rows,
                         int64_t d,
                         const KvRows& kv,
                         int64_t begin,
                         int64_t count,
                         const float* rescale,
                         float* out) {
    for_row_blocks<V::kMaxRows>(rows, [&](int64_t r0, auto block) {
      constexpr int kRows = decltype(block)::value;
      const float* w = weight + r0 * ld;
      float* o = out + r0 * d;
      int64_t c = 0;
      for (; c + kPair <= d; c += kPair) {
        value_block<T, kRows, false>(w, ld, d, c, kv, begin, count, rescale + r0, o, kPair);
      }
      for (; c < d; c += kWidth) {
        value_block<T, kRows, true>(w, ld, d, c, kv, begin, count, rescale + r0, o,
                                    smaller(kWidth, d - c));
      }
    });
  }

  // Kept rows lie anywhere in a large cache: each row's memory is asked for some rows ahead.
  static constexpr int64_t kRowsAhead = 6;
  static constexpr int64_t kStep = kWidth * int64_t{sizeof(float)};

  template <bool kStream>
  static void copy_step(const char* from, char* to) {
    const Reg x = V::load(reinterpret_cast<const float*>(from));
    if constexpr (kStream) {
      V::stream(reinterpret_cast<float*>(to), x);
    } else {
      V::store(reinterpret_cast<float*>(to), x);
    }
  }

  // With kSteps known the loop is unrolled; 0 takes any size.
  template <bool kStream, int64_t kSteps>
  static void copy_row(const char* from, int64_t row_bytes, char* to) {
    if constexpr (kSteps > 0) {
#pragma GCC unroll 16
      for (int64_t step = 0; step < kSteps; ++step) {
        copy_step<kStream>(from + step * kStep, to + step * kStep);
      }
      return;
    }
    int64_t byte = 0;
    for (; byte + kStep <= row_bytes; byte += kStep) copy_step<kStream>(from + byte, to + byte);
    if (byte < row_bytes) {
      __builtin_memcpy(to + byte, from + byte, static_cast<size_t>(row_bytes - byte));
    }
  }

  template <bool kStream, int64_t kSteps>
  static void copy_rows_of(const char* source,
                           int64_t source_stride,
                           const int64_t* position,
                           int64_t count,
                           int64_t row_bytes,
                           char* target,
                           int64_t target_stride) {
    for (int64_t i = 0; i < count; ++i, target += target_stride) {
      const char* ahead = source + position[smaller(i + kRowsAhead, count - 1)] * source_stride;
      for (int64_t byte = 0; byte < row_bytes; byte += kCacheLineBytes) {
        __builtin_prefetch(ahead + byte);
      }
      copy_row<kStream, kSteps>(source + position[i] * source_stride, row_bytes, target);
    }
    if constexpr (kStream) V::end_streams();
  }

  using CopyRows = void (*)(const char*, int64_t, const int64_t*, int64_t, int64_t, char*, int64_t);

  // Unrolled for a head_dim of 64 or 128 in two or four bytes a number.
  template <bool kStream>
  static CopyRows copier(int64_t row_bytes) {
    switch (row_bytes) {
      case 128:
        return copy_rows_of<kStream, 128 / kStep>;
      case 256:
        return copy_rows_of<kStream, 256 / kStep>;
      case 512:
        return copy_rows_of<kStream, 512 / kStep>;
      default:
        return copy_rows_of<kStream, 0>;
    }
  }

  static void copy_rows(const char* source,
                        int64_t source_stride,
                        const int64_t* position,
                        int64_t count,
                        int64_t row_bytes,
                        bool stream,
                        char* target,
                        int64_t target_stride) {
    const CopyRows copy = stream ? copier<true>(row_bytes) : copier<false>(row_bytes);
    copy(source, source_stride, position, count, row_bytes, target, target_stride);
  }
};

}  // namespace
}  // namespace headscope::kernels
