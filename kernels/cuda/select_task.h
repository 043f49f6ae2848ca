// What one launch of the selection kernel is told.
#pragma once

#include <cstdint>

namespace headscope::kernels {

inline constexpr int kMaxSelectRows = 256;    // of one launch
inline constexpr int kSelectThreads = 512;    // of a block
inline constexpr int kSelectBins = 2048;      // of a histogram
inline constexpr int kSelectPasses = 3;       // 11 + 11 + 10 bits of the order key
inline constexpr int64_t kCachedKeys = 8192;  // a slice up to this long is read once

struct SelectTask {
  const float* scores;  // row r starts at scores + r * row_stride
  int64_t row_stride;
  int64_t n;  // scores of a row
  int rows;
  // Blocks r * blocks_per_row .. share row r, each with one slice of it. More than one: they wait
  // for each other, so all of them have to be resident at once.
  int blocks_per_row;
  // Scratch of rows shared by several blocks; null otherwise.
  uint32_t* histogram;  // [rows, kSelectPasses, kSelectBins], zeroed
  uint32_t* arrived;    // [rows], zeroed
  uint32_t* taken;      // [rows, blocks_per_row, 2]: scores above and at the cut in each slice
  int64_t* positions;   // [sum of count]: the rows' positions one after the other
  uint32_t count[kMaxSelectRows];  // of each row, at most n
  uint32_t first[kMaxSelectRows];  // where each row's positions start
};

}  // namespace headscope::kernels
