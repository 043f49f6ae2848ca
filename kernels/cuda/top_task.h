// What the kernels around the selection of the most attended keys are told.
#pragma once

#include <cstdint>

#include "kernels/cuda/tile_task.h"

namespace headscope::kernels {

inline constexpr int kMostTopRanked = 256;
inline constexpr int kLogitRows = 64;  // query rows of a block
inline constexpr int kRankThreads = 128;

// Logits of n consecutive query rows of every head over `num_keys` keys; -inf where not seen.
struct LogitTask {
  TileShape shape;
  RowsOf q, k;
  int num_kv_heads, group, n;
  int64_t first_position;  // of row 0
  int64_t num_keys;
  int tile_keys;  // as in ImportanceTask
  float scale;
  float* logits;  // [Hq, n, num_keys]
};

// Sorts the selected keys of each row, largest first.
struct RankTask {
  const float* logits;       // [rows, num_keys]
  const int64_t* positions;  // [sum of counts], ascending in each row
  const float* lse;          // [Hq, lse_stride] natural, from the first row on
  int64_t num_keys, lse_stride;
  int heads, n;  // rows = heads * n
  int64_t first_position;
  int top_n;
  float* weight;       // [Hq, out_stride, top_n], from the first row on
  int64_t* position;   // likewise
  int64_t out_stride;  // rows of a head
};

}  // namespace headscope::kernels
