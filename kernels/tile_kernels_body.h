// The tile kernels over a vector type, included by one .cpp per instruction set. `V` offers: Reg,
// kWidth, kMaxRows and kDotRows (register blocking), load / load_part of float and of the two
// 16-bit types, store / store_part, zero, set1, add, sub, mul, max, fma, min_max-free reductions,
// exp2, transpose and at_least.
//
// Everything has internal linkage, and nothing from the standard library that could be emitted out
// of line is used: a function compiled here for AVX-512 must never be the copy that the linker
// keeps for the rest of the program.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile_kernels.h"

namespace headscope::kernels {
namespace {

struct BFloat16Bits {
  uint16_t bits;
};
struct Float16Bits {
  uint16_t bits;
};

inline int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

template <int kRows>
struct RowCount {
  static constexpr int value = kRows;
};

// Calls body(RowCount<rows>) for rows in 1..kMost: turns a number into a constant.
template <int kMost, class Body>
inline void with_rows(int64_t rows, const Body& body) {
  if constexpr (kMost > 0) {
    if (rows == kMost) {
      body(RowCount<kMost>{});
    } else {
      with_rows<kMost - 1>(rows, body);
    }
  }
}

// Cuts `rows` into blocks of at most kMost rows of nearly equal size and calls
// body(first_row, RowCount) for each.
template <int kMost, class Body>
inline void for_row_blocks(int64_t rows, const Body& body) {
  const int64_t blocks = (rows + kMost - 1) / kMost;
  int64_t first = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t size = (rows - first) / (blocks - b);
    with_rows<kMost>(size, [&](auto block_rows) { body(first, block_rows); });
    first += size;
  }
}

template <class V>
struct TileBody {
  using Reg = typename V::Reg;
  static constexpr int64_t kWidth = V::kWidth;
  static constexpr int64_t kPanel = 2 * kWidth;

  template <class T>
  static const T* row(const KvRows& kv, int64_t j) {
    return static_cast<const T*>(kv.data) + (kv.index ? kv.index[j] : j) * kv.stride;
  }

  template <class T>
  static Reg load_up_to(const T* p, int64_t left) {
    return left >= kWidth ? V::load(p) : V::load_part(p, left);
  }

  template <class T>
  static void widen(const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out) {
    for (int64_t j = 0; j < count; ++j) {
      const T* from = row<T>(kv, begin + j);
      float* to = out + j * d;
      int64_t c = 0;
      for (; c + kWidth <= d; c += kWidth) V::store(to + c, V::load(from + c));
      if (c < d) V::store_part(to + c, V::load_part(from + c, d - c), d - c);
    }
  }

  static void pack(const float* keys, int64_t stride, int64_t count, int64_t d, float* out) {
    for (int64_t first = 0; first < count; first += kPanel, out += kPanel * d) {
      const int64_t lanes = smaller(kPanel, count - first);
      const float* from = keys + first * stride;
      int64_t c = 0;
      if (lanes == kPanel) {
        for (; c + V::kTranspose <= d; c += V::kTranspose) {
          for (int64_t lane = 0; lane < kPanel; lane += V::kTranspose) {
            V::transpose(from + lane * stride + c, stride, out + c * kPanel + lane, kPanel);
          }
        }
      }
      for (; c < d; ++c) {
        for (int64_t lane = 0; lane < kPanel; ++lane) {
          out[c * kPanel + lane] = lane < lanes ? from[lane * stride + c] : 0.0f;
        }
      }
    }
  }

  template <int kRows, int kRegs>
  struct Block {
    Reg x[static_cast<size_t>(kRows)][static_cast<size_t>(kRegs)];
  };

  // acc.x[r] = the logits of row r against one panel, two registers.
  template <int kRows>
  static inline __attribute__((always_inline)) void panel_product(const float* q,
                                                                  int64_t d,
                                                                  const float* panel,
                                                                  Block<kRows, 2>& acc) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) acc.x[r][0] = acc.x[r][1] = V::zero();
    for (int64_t c = 0; c < d; ++c) {
      const Reg low = V::load(panel + c * kPanel);
      const Reg high = V::load(panel + c * kPanel + kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Reg x = V::set1(q[r * d + c]);
        acc.x[r][0] = V::fma(x, low, acc.x[r][0]);
        acc.x[r][1] = V::fma(x, high, acc.x[r][1]);
      }
    }
  }

  static void logits(const float* q,
                     int64_t rows,
                     int64_t d,
                     const float* panels,
                     int64_t count,
                     float* out,
                     int64_t ld) {
    for (int64_t first = 0; first < count; first += kPanel, panels += kPanel * d) {
      for_row_blocks<V::kMaxRows>(rows, [&](int64_t r0, auto block) {
        constexpr int kRows = decltype(block)::value;
        Block<kRows, 2> acc;
        panel_product<kRows>(q + r0 * d, d, panels, acc);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          float* to = out + (r0 + r) * ld + first;
          V::store(to, acc.x[r][0]);
          V::store(to + kWidth, acc.x[r][1]);
        }
      });
    }
  }

  // kRows rows against four keys from `j` on.
  template <class T, int kRows>
  static inline __attribute__((always_inline)) void dot_block(
      const float* q, int64_t d, const KvRows& kv, int64_t j, float* out, int64_t ld) {
    const T* key = static_cast<const T*>(kv.data) + j * kv.stride;
    Block<kRows, 4> acc;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
      acc.x[r][0] = acc.x[r][1] = acc.x[r][2] = acc.x[r][3] = V::zero();
    const auto step = [&](int64_t c, const auto& load_key, const auto& load_q)
        __attribute__((always_inline)) {
      const Reg k0 = load_key(key + c), k1 = load_key(key + kv.stride + c);
      const Reg k2 = load_key(key + 2 * kv.stride + c), k3 = load_key(key + 3 * kv.stride + c);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Reg x = load_q(q + r * d + c);
        acc.x[r][0] = V::fma(x, k0, acc.x[r][0]);
        acc.x[r][1] = V::fma(x, k1, acc.x[r][1]);
        acc.x[r][2] = V::fma(x, k2, acc.x[r][2]);
        acc.x[r][3] = V::fma(x, k3, acc.x[r][3]);
      }
    };
    int64_t c = 0;
    for (; c + kWidth <= d; c += kWidth) {
      step(
          c, [](const T* p) { return V::load(p); }, [](const float* p) { return V::load(p); });
    }
    if (c < d) {
      const int64_t left = d - c;
      step(
          c, [left](const T* p) { return V::load_part(p, left); },
          [left](const float* p) { return V::load_part(p, left); });
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      V::reduce_add4(acc.x[r][0], acc.x[r][1], acc.x[r][2], acc.x[r][3], out + r * ld);
    }
  }

  template <class T>
  static float dot(const float* q, const T* k, int64_t d) {
    Reg acc = V::zero();
    int64_t c = 0;
    for (; c + kWidth <= d; c += kWidth) acc = V::fma(V::load(q + c), V::load(k + c), acc);
    if (c < d) acc = V::fma(V::load_part(q + c, d - c), V::load_part(k + c, d - c), acc);
    return V::reduce_add(acc);
  }

  template <class T>
  static void dot_logits(const float* q,
                         int64_t rows,
                         int64_t d,
                         const KvRows& kv,
                         int64_t begin,
                         int64_t count,
                         float* out,
                         int64_t ld) {
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) {
      for_row_blocks<V::kDotRows>(rows, [&](int64_t r0, auto block) {
        dot_block<T, decltype(block)::value>(q + r0 * d, d, kv, begin + j, out + r0 * ld + j, ld);
      });
    }
    for (; j < count; ++j) {
      for (int64_t r = 0; r < rows; ++r) {
        out[r * ld + j] = dot(q + r * d, row<T>(kv, begin + j), d);
      }
    }
  }

  static void window_scores(const float* q,
                            int64_t rows,
                            int64_t d,
                            const float* panels,
                            int64_t count,
                            const float* lse,
                            bool square,
                            float* out) {
    for (int64_t first = 0; first < count; first += kPanel, panels += kPanel * d) {
      Reg low = V::zero(), high = V::zero();
      for_row_blocks<V::kMaxRows>(rows, [&](int64_t r0, auto block) {
        constexpr int kRows = decltype(block)::value;
        Block<kRows, 2> acc;
        panel_product<kRows>(q + r0 * d, d, panels, acc);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Reg row_lse = V::set1(lse[r0 + r]);
          const Reg a = V::exp2(V::sub(acc.x[r][0], row_lse));
          const Reg b = V::exp2(V::sub(acc.x[r][1], row_lse));
          low = square ? V::fma(a, a, low) : V::add(low, a);
          high = square ? V::fma(b, b, high) : V::add(high, b);
        }
      });
      const int64_t left = count - first;
      store_up_to(out + first, low, left);
      if (left > kWidth) store_up_to(out + first + kWidth, high, left - kWidth);
    }
  }

  static void store_up_to(float* to, Reg x, int64_t left) {
    if (left >= kWidth) {
      V::store(to, x);
    } else {
      V::store_part(to, x, left);
    }
  }

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

  // exp2 of one number through the vector code, so that every part of a sum rounds alike.
  static float exp2_one(float x) {
    const float in[1] = {x};
    float out[1];
    V::store_part(out, V::exp2(V::load_part(in, 1)), 1);
    return out[0];
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
      float tail = 0.0f;
      for (; j < seen; ++j) {
        x[j] = exp2_one(x[j] - new_max);
        tail += x[j];
      }
      for (; j < count; ++j) x[j] = 0.0f;
      sum[r] = sum[r] * factor + (V::reduce_add(total) + tail);
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
      float tail = 0.0f;
      for (; j < seen; ++j) tail += exp2_one(x[j] - lse[r]);
      out[r * out_stride] += V::reduce_add(total) + tail;
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
    Block<kRows, kRegs> acc;
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
      for (; c + kPanel <= d; c += kPanel) {
        value_block<T, kRows, false>(w, ld, d, c, kv, begin, count, rescale + r0, o, kPanel);
      }
      for (; c < d; c += kWidth) {
        value_block<T, kRows, true>(w, ld, d, c, kv, begin, count, rescale + r0, o,
                                    smaller(kWidth, d - c));
      }
    });
  }

  static int64_t collect_at_least(const float* values,
                                  int64_t begin,
                                  int64_t count,
                                  float threshold,
                                  float* out_value,
                                  int64_t* out_position) {
    int64_t found = 0, j = 0;
    const Reg bar = V::set1(threshold);
    for (; j + kPanel <= count; j += kPanel) {
      uint64_t hits = V::at_least(V::load(values + j), bar) |
                      (V::at_least(V::load(values + j + kWidth), bar) << kWidth);
      while (hits != 0) {
        const int64_t at = j + __builtin_ctzll(hits);
        out_value[found] = values[at];
        out_position[found++] = begin + at;
        hits &= hits - 1;
      }
    }
    for (; j < count; ++j) {
      if (values[j] >= threshold) {
        out_value[found] = values[j];
        out_position[found++] = begin + j;
      }
    }
    return found;
  }

  static TileKernels table() {
    return {{widen<float>, widen<BFloat16Bits>, widen<Float16Bits>},
            kPanel,
            pack,
            logits,
            {dot_logits<float>, dot_logits<BFloat16Bits>, dot_logits<Float16Bits>},
            window_scores,
            softmax_step,
            add_mass,
            {add_values<float>, add_values<BFloat16Bits>, add_values<Float16Bits>},
            largest,
            collect_at_least};
  }
};

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

}  // namespace
}  // namespace headscope::kernels
