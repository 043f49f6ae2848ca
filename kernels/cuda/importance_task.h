// What one launch of the window kernel, and of the pooling that follows it, is told.
#pragma once

#include <cstdint>

#include "kernels/cuda/tile_task.h"

namespace headscope::kernels {

inline constexpr int kMaxImportanceHeads = 256;  // of one launch
inline constexpr int kImportancePassRows = 64;   // query rows in shared memory at once
inline constexpr int kWarpKeys = 32;             // keys of a warp in a tile

// A group is a set of the asked query heads that read one KV head.
struct ImportanceTask {
  TileShape shape;
  RowsOf q, k;
  const float* lse;  // [B, Hq, w], natural
  float* out;        // [B, num_out, prefix]
  int64_t prefix;    // S - w
  int w;
  int batch, num_heads, num_out, num_groups;
  int tile_keys;        // keys in shared memory: kWarpKeys for each warp of a block
  int tiles_per_block;  // one after the other
  float scale2;         // scale / ln 2
  float factor;         // of the finished sum
  bool square;
  int16_t group_begin[kMaxImportanceHeads + 1];  // of the heads of each group
  int16_t kv_head[kMaxImportanceHeads];          // of each group
  int16_t head[kMaxImportanceHeads];
  int32_t slot[kMaxImportanceHeads];  // where each head's scores go in out
};

inline constexpr int kPoolThreads = 256;

// Each of `rows` rows of n numbers on its own; zeros outside.
struct PoolTask {
  const float* in;
  float* out;
  int64_t rows, n;
  int kernel;  // odd
  bool average;
};

}  // namespace headscope::kernels
