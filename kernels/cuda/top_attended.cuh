// Around the selection of the most attended keys of each row: the logits before it, and the order
// of the few selected after it.
#pragma once

#include "kernels/cuda/merge.cuh"
#include "kernels/cuda/select_retained.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/cuda/top_task.h"

namespace headscope::kernels {

// One tile of keys (rows of the product) against 64 query rows of a KV head's group. Shared memory:
// keys [tile_keys, stride], query rows [64, stride].
template <class T>
__device__ inline void logit_block(const LogitTask& task, char* shared) {
  constexpr int kTiles = kLogitRows / 8;
  const int rows = task.group * task.n, blocks = (rows + kLogitRows - 1) / kLogitRows;
  const int kv_head = static_cast<int>(blockIdx.y) / blocks;
  const int first = static_cast<int>(blockIdx.y) % blocks * kLogitRows;
  const int64_t key_begin = static_cast<int64_t>(blockIdx.x) * task.tile_keys;
  T* keys = reinterpret_cast<T*>(shared);
  T* queries = keys + task.tile_keys * task.shape.stride;
  const T* k = static_cast<const T*>(task.k.data) + kv_head * task.k.head;
  load_rows(keys, task.shape, task.tile_keys, [&](int r) {
    const bool present = key_begin + r < task.num_keys;
    return RowAddress<T>{k + (present ? key_begin + r : 0) * task.k.row, present};
  });
  const T* q =
      static_cast<const T*>(task.q.data) + static_cast<int64_t>(kv_head) * task.group * task.q.head;
  load_rows(queries, task.shape, kLogitRows, [&](int r) {
    const int row = first + r;
    const bool present = row < rows;
    const int64_t at = present ? row / task.n * task.q.head + row % task.n * task.q.row : 0;
    return RowAddress<T>{q + at, present};
  });
  wait_copies();
  __syncthreads();
  const int used = rows - first < kLogitRows ? (rows - first + 7) / 8 : kTiles;
  const int warp_first = warp_of_thread() * kWarpLanes;
  float product[2][kTiles][4] = {};
  multiply_rows<T, 2, kTiles>(keys + warp_first * task.shape.stride, queries, task.shape, used,
                              product);
  const int g = lane_of_thread() / 4, t = lane_of_thread() % 4;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int row = first + 8 * n + 2 * t + c % 2;
        const int64_t key = key_begin + warp_first + 16 * m + g + c / 2 * 8;
        if (row < rows && key < task.num_keys) {
          const bool seen = key <= task.first_position + row % task.n;
          const int64_t at = static_cast<int64_t>(kv_head) * rows + row;
          task.logits[at * task.num_keys + key] = seen ? product[m][n][c] * task.scale : -INFINITY;
        }
      }
    }
  }
}

struct RankShared {
  uint32_t key[kMostTopRanked];
};

// One row: the rank of a selected key is how many go before it.
__device__ inline void rank_block(const RankTask& task, RankShared& shared) {
  const int row = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int head = row / task.n, i = row % task.n;
  const auto count_of = [&](int query) {
    const int64_t visible = task.first_position + query + 1;
    return visible < task.top_n ? static_cast<int>(visible) : task.top_n;
  };
  int64_t before = 0;  // of one head's rows, then of all rows in front
  for (int query = 0; query < task.n; ++query) before += count_of(query);
  before *= head;
  for (int query = 0; query < i; ++query) before += count_of(query);
  const int count = count_of(i);
  const int64_t* positions = task.positions + before;
  const float* logits = task.logits + static_cast<int64_t>(row) * task.num_keys;
  for (int j = thread; j < count; j += kRankThreads) {
    shared.key[j] = select_key(logits[positions[j]]);
  }
  __syncthreads();
  const int64_t out = (head * task.out_stride + i) * task.top_n;
  const float lse = task.lse[head * task.lse_stride + i];
  for (int j = thread; j < task.top_n; j += kRankThreads) {
    if (j >= count) {
      task.weight[out + j] = 0.0f;
      task.position[out + j] = -1;
      continue;
    }
    int rank = 0;
    for (int other = 0; other < count; ++other) {
      const bool earlier = shared.key[other] == shared.key[j] && other < j;
      rank += shared.key[other] > shared.key[j] || earlier ? 1 : 0;
    }
    const float logit = logits[positions[j]];
    task.weight[out + rank] = exp2f((logit - lse) / kLnOf2);
    task.position[out + rank] = logit == -INFINITY ? -1 : positions[j];
  }
}

}  // namespace headscope::kernels
