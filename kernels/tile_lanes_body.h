// A whole step of attention with a block's rows in the lanes of registers: products, online softmax
// and sums of values need neither a transposition nor a sum across lanes. Included through
// tile_kernels_body.h.
#pragma once

#include "kernels/tile_products_body.h"

namespace headscope::kernels {
namespace {

template <class V, class P>
struct TileLanes {
  using Reg = typename V::Reg;
  using Products = TileProducts<V>;
  static constexpr int64_t kWidth = V::kWidth;
  static constexpr int64_t kMostLanes = V::kLaneRegs * kWidth;
  static constexpr float kLowest = -__FLT_MAX__;

  // One number for each row of a chunk.
  template <int kRegs>
  struct Lanes {
    Reg x[static_cast<size_t>(kRegs)];
    Reg& operator[](int r) { return x[r]; }
    const Reg& operator[](int r) const { return x[r]; }
  };

  // The part of a tile that some row of a chunk sees, and what all of them see.
  struct Range {
    int64_t begin, end;          // keys
    int64_t all_begin, all_end;  // those that every row sees
  };

  static Range range_of(const LaneTile& tile, int64_t first_row, int64_t rows) {
    Range range{0, tile.count, 0, tile.count};
    if (tile.end != nullptr) {
      range.end = range.all_end = tile.end[first_row];
      for (int64_t r = first_row + 1; r < first_row + rows; ++r) {
        range.end = tile.end[r] > range.end ? tile.end[r] : range.end;
        range.all_end = smaller(range.all_end, tile.end[r]);
      }
    }
    if (tile.first != nullptr) {
      range.begin = range.all_begin = tile.first[first_row];
      for (int64_t r = first_row + 1; r < first_row + rows; ++r) {
        range.begin = smaller(range.begin, tile.first[r]);
        range.all_begin = tile.first[r] > range.all_begin ? tile.first[r] : range.all_begin;
      }
    }
    return range;
  }

  // Bounds of a chunk's rows as numbers in lanes.
  template <int kRegs>
  static void load_bounds(const int64_t* bound, int64_t rows, Lanes<kRegs>& out) {
    float numbers[static_cast<size_t>(kRegs * kWidth)] = {};
    for (int64_t r = 0; r < rows; ++r) numbers[r] = static_cast<float>(bound[r]);
    for (int r = 0; r < kRegs; ++r) out[r] = V::load(numbers + r * kWidth);
  }

  // Logits of keys that a row does not see become -inf.
  template <int kRegs>
  static void hide(
      const LaneTile& tile, int64_t first_row, int64_t rows, const Range& range, float* logits) {
    constexpr int64_t kLanes = kRegs * kWidth;
    const Reg hidden = V::set1(-__builtin_inff());
    Lanes<kRegs> bound;
    if (range.all_end < range.end) {
      load_bounds(tile.end + first_row, rows, bound);
      for (int64_t j = range.all_end > range.begin ? range.all_end : range.begin; j < range.end;
           ++j) {
        const Reg needed = V::set1(static_cast<float>(j + 1));
        for (int r = 0; r < kRegs; ++r) {
          float* x = logits + j * kLanes + r * kWidth;
          V::store(x, V::choose_at_least(bound[r], needed, V::load(x), hidden));
        }
      }
    }
    if (range.begin < range.all_begin) {
      load_bounds(tile.first + first_row, rows, bound);
      for (int64_t j = range.begin; j < smaller(range.all_begin, range.end); ++j) {
        const Reg position = V::set1(static_cast<float>(j));
        for (int r = 0; r < kRegs; ++r) {
          float* x = logits + j * kLanes + r * kWidth;
          V::store(x, V::choose_at_least(position, bound[r], V::load(x), hidden));
        }
      }
    }
  }

  // Logits [count][lanes] become weights; max and sum are brought up to date.
  template <int kRegs>
  static void soften(
      float* x, int64_t count, Lanes<kRegs>& max, Lanes<kRegs>& sum, Lanes<kRegs>& rescale) {
    constexpr int64_t kLanes = kRegs * kWidth;
    Lanes<kRegs> most, total;
    for (int r = 0; r < kRegs; ++r) {
      most[r] = max[r];
      total[r] = V::zero();
    }
    for (int64_t j = 0; j < count; ++j) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) {
        most[r] = V::max(most[r], V::load(x + j * kLanes + r * kWidth));
      }
    }
    Lanes<kRegs> base;
    for (int r = 0; r < kRegs; ++r) {
      // Finite where a row has seen nothing yet, so that -inf - base stays -inf.
      base[r] = V::max(V::set1(kLowest), most[r]);
      rescale[r] = V::exp2(V::sub(max[r], base[r]));
    }
    for (int64_t j = 0; j < count; ++j) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) {
        float* at = x + j * kLanes + r * kWidth;
        const Reg p = V::exp2(V::sub(V::load(at), base[r]));
        V::store(at, p);
        total[r] = V::add(total[r], p);
      }
    }
    for (int r = 0; r < kRegs; ++r) {
      sum[r] = V::fma(sum[r], rescale[r], total[r]);
      max[r] = most[r];
    }
  }

  // Values stand in groups of this many columns, [d / kColumns][kTileKeys][kColumns]: a sum over
  // keys then reads memory in order.
  static constexpr int kColumns = V::kLaneKeys;
  static_assert(kWidth % kColumns == 0);

  template <class T>
  static void pack_values(const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out) {
    for (int64_t j = 0; j < count; ++j) {
      const T* from = row_of<T>(kv, begin + j);
      float* to = out + j * kColumns;
      for (int64_t c = 0; c < d; c += kWidth) {
        float numbers[static_cast<size_t>(kWidth)];
        V::store(numbers, load_up_to<V>(from + c, d - c));
        for (int64_t i = 0; i < smaller(kWidth, d - c); i += kColumns) {
          __builtin_memcpy(to + (c + i) * kTileKeys, numbers + i, kColumns * sizeof(float));
        }
      }
    }
  }

  // out[c][lane] = out[c][lane] * rescale + sum_j weight[j][lane] * values[j][c], for the kLeft
  // first columns of a group.
  template <int kRegs, int kLeft>
  static void value_block(const float* weight,
                          int64_t count,
                          const float* values,
                          const Lanes<kRegs>& rescale,
                          float* out) {
    constexpr int64_t kLanes = kRegs * kWidth;
    RegisterBlock<V, kLeft, kRegs> acc;
#pragma GCC unroll 16
    for (int c = 0; c < kLeft; ++c) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) {
        acc.x[c][r] = V::mul(V::load(out + c * kLanes + r * kWidth), rescale[r]);
      }
    }
    for (int64_t j = 0; j < count; ++j, weight += kLanes, values += kColumns) {
      Lanes<kRegs> w;
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) w[r] = V::load(weight + r * kWidth);
#pragma GCC unroll 16
      for (int c = 0; c < kLeft; ++c) {
        const Reg value = V::set1(values[c]);
#pragma GCC unroll 4
        for (int r = 0; r < kRegs; ++r) acc.x[c][r] = V::fma(value, w[r], acc.x[c][r]);
      }
    }
#pragma GCC unroll 16
    for (int c = 0; c < kLeft; ++c) {
#pragma GCC unroll 4
      for (int r = 0; r < kRegs; ++r) V::store(out + c * kLanes + r * kWidth, acc.x[c][r]);
    }
  }

  template <int kRegs>
  static void add_values(const float* weight,
                         int64_t count,
                         int64_t d,
                         const float* values,
                         const Lanes<kRegs>& rescale,
                         float* out) {
    constexpr int64_t kLanes = kRegs * kWidth;
    int64_t c = 0;
    for (; c + kColumns <= d; c += kColumns) {
      value_block<kRegs, kColumns>(weight, count, values + c * kTileKeys, rescale,
                                   out + c * kLanes);
    }
    with_rows<kColumns - 1>(d - c, [&](auto columns) {
      value_block<kRegs, decltype(columns)::value>(weight, count, values + c * kTileKeys, rescale,
                                                   out + c * kLanes);
    });
  }

  static void attend(const void* packed,
                     int64_t rows,
                     int64_t d,
                     float factor,
                     const LaneTile& tile,
                     float* max,
                     float* sum,
                     float* out) {
    const auto* chunk = static_cast<const typename P::Packed*>(packed);
    const auto* keys = static_cast<const typename P::Key*>(tile.keys);
    for_row_blocks<V::kLaneRegs>(Products::num_registers(rows), [&](int64_t first, auto regs) {
      constexpr int kRegs = decltype(regs)::value;
      constexpr int64_t kLanes = kRegs * kWidth;
      const int64_t first_row = first * kWidth, chunk_rows = smaller(kLanes, rows - first_row);
      const Range range = range_of(tile, first_row, chunk_rows);
      if (range.begin < range.end) {
        alignas(64) float weight[static_cast<size_t>(kTileKeys * kLanes)];
        float* const x = weight + range.begin * kLanes;
        const int64_t count = range.end - range.begin;
        Products::template product_group<P, kRegs>(
            chunk, d, factor, keys + range.begin * tile.key_stride, tile.key_stride, count,
            tile.keys_from_memory && first == 0, x);
        hide<kRegs>(tile, first_row, chunk_rows, range, weight);
        Lanes<kRegs> most, total, rescale;
        for (int r = 0; r < kRegs; ++r) {
          const int64_t row = first_row + r * kWidth;
          most[r] = load_up_to<V>(max + row, rows - row);
          total[r] = load_up_to<V>(sum + row, rows - row);
        }
        soften<kRegs>(x, count, most, total, rescale);
        for (int r = 0; r < kRegs; ++r) {
          const int64_t row = first_row + r * kWidth;
          store_up_to<V>(max + row, most[r], rows - row);
          store_up_to<V>(sum + row, total[r], rows - row);
        }
        if (out != nullptr) {
          add_values<kRegs>(x, count, d, tile.values + range.begin * kColumns, rescale, out);
        }
      }
      chunk += d / P::kDepth * kLanes;
      if (out != nullptr) out += d * kLanes;
    });
  }
};

}  // namespace
}  // namespace headscope::kernels
