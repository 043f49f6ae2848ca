// What the split attention kernel and the kernels that merge its parts are told.
//
// Packed rows: the group * n query rows that read one KV head, head by head. A part is the softmax
// state of all packed rows over one segment of keys: the largest base-2 logit, the sum of 2^(logit
// - largest), and that sum weighted with the values.
#pragma once

#include <cstdint>

#include "kernels/cuda/tile_task.h"

namespace headscope::kernels {

inline constexpr int kMaxSegments = 256;  // of one launch
inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;

// Keys [begin, end) of one KV row (sequence * num_kv_heads + KV head). Query i of n sees keys below
// limit + i. limit < 0: begin and end count in the KV row's order of keys, and all are seen.
struct Segment {
  int32_t kv_row;
  int32_t begin, end;
  int32_t limit;
};

struct AttentionTask {
  TileShape shape;
  RowsOf q, k, v;        // v.data is null where only the sums are wanted
  const int64_t* order;  // [num_kv_heads, ...]: key positions, for segments with limit < 0
  int64_t order_stride, order_end;  // all positions are in 0 .. order_end - 1
  int num_kv_heads, group, n;
  float scale2;    // scale / ln 2
  int row_groups;  // 1: a block has 16 packed rows and its warps share the keys; else
                   // kAttentionWarps: each warp has 16 rows of its own and all keys
  int tile_keys;   // keys in shared memory: 64 or 32
  float* max;      // [segments, group * n]
  float* sum;      // [segments, group * n]
  float* o;        // [segments, group * n, d]
  int num_segments;
  Segment segment[kMaxSegments];
};

inline constexpr int kMaxMergedRows = 256;  // KV rows of one launch
inline constexpr int kMaxOutputs = 256;     // of one KV row
inline constexpr int kMergeThreads = 128;

// Parts of each KV row merged one after the other; an output is what has been merged after its
// number of parts.
struct MergeTask {
  ValueType type;  // of out
  const float* max;
  const float* sum;
  const float* o;
  int packed_rows;  // group * n
  int d;
  int kv_rows;
  void* out;   // [outputs, kv_rows, packed_rows, d]
  float* lse;  // [kv_rows, packed_rows], natural, of the last output; or null
  int num_outputs;
  int32_t first[kMaxMergedRows + 1];  // part of each KV row
  int32_t parts[kMaxOutputs];         // of each output, ascending; fewer where a row has fewer
};

inline constexpr int kMassThreads = 128;

// Sums only. KV row r has the parts r * num_parts .. ; span s of it the parts span_begin[s] ..
// span_begin[s + 1] of those.
struct MassTask {
  const float* max;
  const float* sum;
  int packed_rows, kv_rows, num_parts;
  const float* lse;  // [all KV rows, packed_rows], natural; null: the log-sum-exp itself is wanted
  float* out;        // [all KV rows, packed_rows, out_stride]; the log-sum-exp has out_stride 1
  int num_spans, out_stride;
  int32_t kv_row[kMaxMergedRows];
  int32_t span_begin[kMaxSegments + 1];
};

}  // namespace headscope::kernels
