// Products of query rows with keys. Included through tile_kernels_body.h.
//
// row_logits: the lanes of a register are query rows, packed so once, and a key's elements are
// broadcast from where they lie, so that keys are never transposed; the finished block of logits
// is. dot_logits: the lanes are elements of a key, for rows too few to fill a register.
#pragma once

#include "kernels/tile_blocks.h"

namespace headscope::kernels {
namespace {

// How a packed row and a key are multiplied: one float32 element per step.
template <class V>
struct FloatProduct {
  using Packed = float;
  using Key = float;
  using Operand = typename V::Reg;
  static constexpr int64_t kDepth = 1;  // elements of a row in one Packed
  static Operand broadcast(const Key* p) { return V::set1(*p); }
  static Operand load(const Packed* p) { return V::load(p); }
  static typename V::Reg multiply_add(Operand key, Operand row, typename V::Reg sum) {
    return V::fma(key, row, sum);
  }
};

template <class V>
struct TileProducts {
  using Reg = typename V::Reg;
  static constexpr int64_t kWidth = V::kWidth;
  static constexpr int64_t kKeysAhead = 64;            // of those in work, asked for from memory
  static constexpr int64_t kGroup = 2 * V::kLaneKeys;  // keys whose logits are transposed at once

  static int64_t num_registers(int64_t rows) { return (rows + kWidth - 1) / kWidth; }

  // Packed rows stand in chunks of up to kLaneRegs registers; a chunk of r registers is
  // [d][r * kWidth]. Calls, for kTranspose rows from `r` on, square(r, c, at, lanes) for kTranspose
  // columns from `c` on and rest(r, c, at) for each column left; `at` is where column c of row r is
  // packed, `lanes` the stride between columns.
  template <class Square, class Rest>
  static void for_packed_squares(int64_t rows, int64_t d, const Square& square, const Rest& rest) {
    constexpr int64_t kStep = V::kTranspose;
    for_row_blocks<V::kLaneRegs>(num_registers(rows), [&](int64_t first, auto regs) {
      constexpr int64_t kLanes = decltype(regs)::value * kWidth;
      for (int64_t lane = 0; lane < kLanes; lane += kStep) {
        const int64_t r = first * kWidth + lane, chunk = first * kWidth * d + lane;
        int64_t c = 0;
        if (r + kStep <= rows) {
          for (; c + kStep <= d; c += kStep) square(r, c, chunk + c * kLanes, kLanes);
        }
        for (; c < d; ++c) rest(r, c, chunk + c * kLanes);
      }
    });
  }

  static void pack_rows(const float* q, int64_t rows, int64_t d, float* out) {
    for_packed_squares(
        rows, d,
        [&](int64_t r, int64_t c, int64_t at, int64_t lanes) {
          V::transpose(q + r * d + c, d, out + at, lanes);
        },
        [&](int64_t r, int64_t c, int64_t at) {
          for (int64_t i = 0; i < V::kTranspose; ++i) {
            out[at + i] = r + i < rows ? q[(r + i) * d + c] : 0.0f;
          }
        });
  }

  static void unpack_rows(const float* packed, int64_t rows, int64_t d, float* out) {
    for_packed_squares(
        rows, d,
        [&](int64_t r, int64_t c, int64_t at, int64_t lanes) {
          V::transpose(packed + at, lanes, out + r * d + c, d);
        },
        [&](int64_t r, int64_t c, int64_t at) {
          for (int64_t i = 0; i < V::kTranspose && r + i < rows; ++i) {
            out[(r + i) * d + c] = packed[at + i];
          }
        });
  }

  // kRegs registers of rows against kKeys keys: out[j * kRegs * kWidth + lane].
  template <class P, int kRegs, int kKeys>
  static void product_block(const typename P::Packed* rows,
                            int64_t d,
                            float factor,
                            const typename P::Key* keys,
                            int64_t stride,
                            float* out) {
    RegisterBlock<V, kKeys, kRegs> acc;
#pragma GCC unroll 16
    for (int j = 0; j < kKeys; ++j) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) acc.x[j][r] = V::zero();
    }
    for (int64_t c = 0; c < d; c += P::kDepth, rows += kRegs * kWidth) {
      typename P::Operand row[static_cast<size_t>(kRegs)];
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) row[r] = P::load(rows + r * kWidth);
#pragma GCC unroll 16
      for (int j = 0; j < kKeys; ++j) {
        const typename P::Operand key = P::broadcast(keys + j * stride + c);
#pragma GCC unroll 4
        for (int r = 0; r < kRegs; ++r) acc.x[j][r] = P::multiply_add(key, row[r], acc.x[j][r]);
      }
    }
    const Reg scale = V::set1(factor);
#pragma GCC unroll 16
    for (int j = 0; j < kKeys; ++j) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) {
        V::store(out + (j * kRegs + r) * kWidth, V::mul(acc.x[j][r], scale));
      }
    }
  }

  // Asked for past the last key as well: that reads nothing and cannot fail.
  template <class Key>
  static void fetch_rows(const Key* rows, int64_t stride, int64_t count, int64_t d) {
    for (int64_t j = 0; j < count; ++j) {
      const auto* row = reinterpret_cast<const char*>(rows + j * stride);
      for (int64_t byte = 0; byte < d * int64_t{sizeof(Key)}; byte += kCacheLineBytes) {
        __builtin_prefetch(row + byte, 0, 2);
      }
    }
  }

  // Logits of any number of keys, of which later ones are asked for where they come `from_memory`
  // and not from a copy: arithmetic and memory then work at the same time. out[j * kRegs * kWidth +
  // lane].
  template <class P, int kRegs>
  static void product_group(const typename P::Packed* rows,
                            int64_t d,
                            float factor,
                            const typename P::Key* keys,
                            int64_t stride,
                            int64_t count,
                            bool from_memory,
                            float* out) {
    constexpr int kKeys = kRegs == 1 ? static_cast<int>(kGroup) : V::kLaneKeys;
    int64_t j = 0;
    for (; j + kKeys <= count; j += kKeys) {
      if (from_memory) fetch_rows(keys + (j + kKeysAhead) * stride, stride, kKeys, d);
      product_block<P, kRegs, kKeys>(rows, d, factor, keys + j * stride, stride,
                                     out + j * kRegs * kWidth);
    }
    with_rows<kKeys - 1>(count - j, [&](auto left) {
      product_block<P, kRegs, decltype(left)::value>(rows, d, factor, keys + j * stride, stride,
                                                     out + j * kRegs * kWidth);
    });
  }

  template <class P>
  static void row_logits(const void* packed,
                         int64_t rows,
                         int64_t d,
                         float factor,
                         const void* key_data,
                         int64_t stride,
                         int64_t count,
                         float* out,
                         int64_t ld) {
    const auto* chunk = static_cast<const typename P::Packed*>(packed);
    const auto* keys = static_cast<const typename P::Key*>(key_data);
    for_row_blocks<V::kLaneRegs>(num_registers(rows), [&](int64_t first, auto regs) {
      constexpr int kRegs = decltype(regs)::value;
      constexpr int64_t kLanes = kRegs * kWidth;
      float by_key[static_cast<size_t>(kGroup * kLanes)] = {};
      for (int64_t j = 0; j < count; j += kGroup) {
        product_group<P, kRegs>(chunk, d, factor, keys + j * stride, stride,
                                smaller(kGroup, count - j), first == 0, by_key);
        for (int64_t lane = 0; lane < kLanes; lane += V::kTranspose) {
          for (int64_t key = 0; key < kGroup; key += V::kTranspose) {
            V::transpose(by_key + key * kLanes + lane, kLanes,
                         out + (first * kWidth + lane) * ld + j + key, ld);
          }
        }
      }
      chunk += d / P::kDepth * kLanes;
    });
  }

  // kRows rows against four keys from `j` on.
  template <class T, int kRows>
  static inline __attribute__((always_inline)) void dot_block(
      const float* q, int64_t d, const KvRows& kv, int64_t j, float* out, int64_t ld) {
    const T* key = static_cast<const T*>(kv.data) + j * kv.stride;
    RegisterBlock<V, kRows, 4> acc;
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
        out[r * ld + j] = dot(q + r * d, row_of<T>(kv, begin + j), d);
      }
    }
  }
};

}  // namespace
}  // namespace headscope::kernels
