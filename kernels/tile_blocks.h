// What the bodies of the tile kernels share: 16-bit element types and register blocks whose size is
// a constant. Included through tile_kernels_body.h.
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

template <class V, int kRows, int kRegs>
struct RegisterBlock {
  typename V::Reg x[static_cast<size_t>(kRows)][static_cast<size_t>(kRegs)];
};

template <class T>
const T* row_of(const KvRows& kv, int64_t j) {
  return static_cast<const T*>(kv.data) + (kv.index ? kv.index[j] : j) * kv.stride;
}

template <class V, class T>
typename V::Reg load_up_to(const T* p, int64_t left) {
  return left >= V::kWidth ? V::load(p) : V::load_part(p, left);
}

template <class V>
void store_up_to(float* to, typename V::Reg x, int64_t left) {
  if (left >= V::kWidth) {
    V::store(to, x);
  } else {
    V::store_part(to, x, left);
  }
}

}  // namespace
}  // namespace headscope::kernels
