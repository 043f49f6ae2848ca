// Attention split over keys (Flash-Decoding's scheme): each block makes the softmax state of 16 or
// 64 packed rows over one segment of keys. The queries of a group are rows of one product, so keys
// and values are read once for all of them. Weights enter the product with the values as two 16-bit
// numbers, the rounded weight and its remainder: the output is as good as with float32 weights.
#pragma once

#include "kernels/cuda/attention_task.h"
#include "kernels/cuda/tile.cuh"

namespace headscope::kernels {

// The state of rows g and g + 8 of a warp's 16 rows; o in the layout of tile.cuh.
template <int kTiles>
struct RowState {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this lane's keys, until the end
  float o[kTiles > 0 ? kTiles : 1][4] = {};
};

// 0 where nothing was seen: differences stay numbers.
__device__ inline float finite_max(float max) {
  return max == -INFINITY ? 0.0f : max;
}

template <class T>
__device__ inline void load_queries(
    const AttentionTask& task, int kv_row, int first, int rows, T* tile) {
  const int batch = kv_row / task.num_kv_heads, kv_head = kv_row % task.num_kv_heads;
  const T* q = static_cast<const T*>(task.q.data) + batch * task.q.batch +
               static_cast<int64_t>(kv_head) * task.group * task.q.head;
  load_rows(tile, task.shape, rows, [&](int r) {
    const int row = first + r;
    const bool present = row < task.group * task.n;
    const int64_t at = present ? row / task.n * task.q.head + row % task.n * task.q.row : 0;
    return RowAddress<T>{q + at, present};
  });
}

// Rows begin .. of a segment from keys or values.
template <class T>
__device__ inline void load_segment(
    const AttentionTask& task, const Segment& segment, const RowsOf& from, int begin, T* tile) {
  const int batch = segment.kv_row / task.num_kv_heads, head = segment.kv_row % task.num_kv_heads;
  const T* rows = static_cast<const T*>(from.data) + batch * from.batch + head * from.head;
  const int64_t* order = segment.limit < 0 ? task.order + head * task.order_stride : nullptr;
  load_rows(tile, task.shape, task.tile_keys, [&](int r) {
    const bool present = begin + r < segment.end;
    int64_t position = present ? begin + r : segment.begin;
    if (order != nullptr) {
      position = order[position];
      refuse_if(position < 0 || position >= task.order_end);
    }
    return RowAddress<T>{rows + position * from.row, present};
  });
}

// Logits to weights: brings the state to the new largest logit.
template <int kTiles>
__device__ inline void take_weights(float (&logit)[2][4], RowState<kTiles>& state) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float& x0 = logit[0][2 * half];
    float& x1 = logit[0][2 * half + 1];
    float& x2 = logit[1][2 * half];
    float& x3 = logit[1][2 * half + 1];
    const float largest = quad_max(fmaxf(fmaxf(x0, x1), fmaxf(x2, x3)));
    const float max = fmaxf(state.max[half], largest), shift = finite_max(max);
    const float shrink = exp2f(state.max[half] - shift);
    state.max[half] = max;
    x0 = exp2f(x0 - shift);
    x1 = exp2f(x1 - shift);
    x2 = exp2f(x2 - shift);
    x3 = exp2f(x3 - shift);
    state.sum[half] = state.sum[half] * shrink + ((x0 + x1) + (x2 + x3));
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      state.o[n][2 * half] *= shrink;
      state.o[n][2 * half + 1] *= shrink;
    }
  }
}

// o += weights of 16 keys times their values, tensor cores.
template <class T, int kTiles>
__device__ inline void add_values(const float (&weight)[2][4],
                                  const T* values,
                                  const TileShape& shape,
                                  RowState<kTiles>& state) {
  const int lane = lane_of_thread();
  uint32_t high[4], low[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float w0 = weight[i / 2][i % 2 * 2], w1 = weight[i / 2][i % 2 * 2 + 1];
    high[i] = pack_pair<T>(w0, w1);
    low[i] = pack_pair<T>(w0 - static_cast<float>(T(w0)), w1 - static_cast<float>(T(w1)));
  }
  // Each lane points at one row of four 8 x 8 blocks: keys 0 .. 15 of two neighbouring blocks of
  // eight dimensions.
  const T* row = values + lane % 16 * shape.stride + lane / 16 * 8;
#pragma unroll
  for (int n = 0; n < kTiles; n += 2) {
    if (8 * n < shape.depth) {
      uint32_t block[4];
      load_transposed(block, row + 8 * n);
      const uint32_t first[2] = {block[0], block[1]}, second[2] = {block[2], block[3]};
      multiply_add(state.o[n], high, first, T());
      multiply_add(state.o[n], low, first, T());
      multiply_add(state.o[n + 1], high, second, T());
      multiply_add(state.o[n + 1], low, second, T());
    }
  }
}

// The same in float32: each weight is passed to the lanes of its row.
template <int kTiles>
__device__ inline void add_values(const float (&weight)[2][4],
                                  const float* values,
                                  const TileShape& shape,
                                  RowState<kTiles>& state) {
  const int lane = lane_of_thread(), t = lane % 4;
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    const int from = lane / 4 * 4 + j % 8 / 2;
    const float upper = __shfl_sync(kAllLanes, weight[j / 8][j % 2], from);
    const float lower = __shfl_sync(kAllLanes, weight[j / 8][2 + j % 2], from);
    const float* row = values + j * shape.stride + 2 * t;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (8 * n < shape.depth) {
        const float2 v = *reinterpret_cast<const float2*>(row + 8 * n);
        state.o[n][0] = fmaf(upper, v.x, state.o[n][0]);
        state.o[n][1] = fmaf(upper, v.y, state.o[n][1]);
        state.o[n][2] = fmaf(lower, v.x, state.o[n][2]);
        state.o[n][3] = fmaf(lower, v.y, state.o[n][3]);
      }
    }
  }
}

// 16 keys from position `begin` on, in shared memory, against the warp's rows.
template <class T, int kTiles>
__device__ __forceinline__ void attend_step(const AttentionTask& task,
                                            int begin,
                                            int end,
                                            const int (&limit)[2],
                                            const T* rows,
                                            const T* keys,
                                            const T* values,
                                            RowState<kTiles>& state) {
  const int t = lane_of_thread() % 4;
  float logit[1][2][4] = {};
  multiply_rows<T, 1, 2>(rows, keys, task.shape, 2, logit);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int n = i / 4, c = i % 4, key = begin + 8 * n + 2 * t + c % 2;
    const bool seen = key < end && key < limit[c / 2];
    logit[0][n][c] = seen ? logit[0][n][c] * task.scale2 : -INFINITY;
  }
  take_weights(logit[0], state);
  if constexpr (kTiles > 0) add_values(logit[0], values, task.shape, state);
}

// Where the parts of packed row `row` go.
__device__ inline int64_t part_of(const AttentionTask& task, int row) {
  return static_cast<int64_t>(blockIdx.x) * task.group * task.n + row;
}

// A warp's state as it is.
template <int kTiles>
__device__ inline void store_state(const AttentionTask& task,
                                   int first,
                                   const RowState<kTiles>& state) {
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + g + 8 * half;
    if (row < task.group * task.n) {
      const int64_t part = part_of(task, row);
      if (t == 0) task.max[part] = state.max[half];
      if (t == 0) task.sum[part] = state.sum[half];
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int column = 8 * n + 2 * t + c;
          if (column < task.shape.d) {
            task.o[part * task.shape.d + column] = state.o[n][2 * half + c];
          }
        }
      }
    }
  }
}

// The states of the block's warps, which all have the same rows, merged through shared memory: max
// and sum [warps, 16], o [warps, 16, depth].
template <int kTiles>
__device__ inline void store_merged(const AttentionTask& task,
                                    int first,
                                    float* shared,
                                    const RowState<kTiles>& state) {
  constexpr int kRows = 16, kStates = kAttentionWarps * kRows;
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4, warp = warp_of_thread();
  float* max = shared;
  float* sum = max + kStates;
  float* o = sum + kStates;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int at = warp * kRows + g + 8 * half;
    if (t == 0) max[at] = state.max[half];
    if (t == 0) sum[at] = state.sum[half];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (8 * n < task.shape.depth) {
        o[at * task.shape.depth + 8 * n + 2 * t] = state.o[n][2 * half];
        o[at * task.shape.depth + 8 * n + 2 * t + 1] = state.o[n][2 * half + 1];
      }
    }
  }
  __syncthreads();
  const int columns = kTiles > 0 ? task.shape.d : 1;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * columns; i += kAttentionThreads) {
    const int r = i / columns, column = i % columns, row = first + r;
    if (row >= task.group * task.n) continue;
    float largest = -INFINITY;
    for (int w = 0; w < kAttentionWarps; ++w) largest = fmaxf(largest, max[w * kRows + r]);
    float total = 0.0f, value = 0.0f;
    for (int w = 0; w < kAttentionWarps; ++w) {
      const int at = w * kRows + r;
      const float weight = exp2f(max[at] - finite_max(largest));
      total += sum[at] * weight;
      if constexpr (kTiles > 0) value += o[at * task.shape.depth + column] * weight;
    }
    const int64_t part = part_of(task, row);
    if (column == 0) task.max[part] = largest;
    if (column == 0) task.sum[part] = total;
    if constexpr (kTiles > 0) task.o[part * task.shape.d + column] = value;
  }
}

// kTiles blocks of eight dimensions hold a row of values; 0: sums only. Shared memory: queries
// [16 * row_groups, stride], keys and values [tile_keys, stride] each; at the end the merged
// states.
template <class T, int kTiles>
__device__ inline void attention_block(const AttentionTask& task, char* shared) {
  const Segment segment = task.segment[blockIdx.x];
  const int stride = task.shape.stride, warp = warp_of_thread();
  const bool shares_keys = task.row_groups == 1;
  const int block_rows = 16 * task.row_groups;
  const int block_first = static_cast<int>(blockIdx.y) * block_rows;
  const int warp_first = shares_keys ? 0 : 16 * warp;
  T* rows = reinterpret_cast<T*>(shared);
  T* keys = rows + block_rows * stride;
  T* values = keys + task.tile_keys * stride;
  load_queries(task, segment.kv_row, block_first, block_rows, rows);
  int limit[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = block_first + warp_first + lane_of_thread() / 4 + 8 * half;
    limit[half] = segment.limit < 0 ? segment.end : segment.limit + row % task.n;
  }
  RowState<kTiles> state;
  for (int tile = segment.begin; tile < segment.end; tile += task.tile_keys) {
    load_segment(task, segment, task.k, tile, keys);
    if constexpr (kTiles > 0) load_segment(task, segment, task.v, tile, values);
    wait_copies();
    __syncthreads();
    for (int step = shares_keys ? warp : 0; 16 * step < task.tile_keys;
         step += shares_keys ? kAttentionWarps : 1) {
      const int begin = tile + 16 * step;
      if (begin >= segment.end) break;
      attend_step(task, begin, segment.end, limit, rows + warp_first * stride,
                  keys + 16 * step * stride, values + 16 * step * stride, state);
    }
    __syncthreads();
  }
  state.sum[0] = quad_sum(state.sum[0]);
  state.sum[1] = quad_sum(state.sum[1]);
  if (shares_keys) {
    store_merged(task, block_first, reinterpret_cast<float*>(keys), state);
  } else {
    store_state(task, block_first + warp_first, state);
  }
}

}  // namespace headscope::kernels
