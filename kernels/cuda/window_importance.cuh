// Scores of window queries on every key (SnapKV, arXiv 2404.14469) from one read of the keys: the
// rows' log-sum-exp is known, so that a key's score is a plain sum over the rows. Keys are the rows
// of the products and queries the columns: sums over queries stay in a lane until a head is done.
#pragma once

#include "kernels/cuda/importance_task.h"
#include "kernels/cuda/tile.cuh"

namespace headscope::kernels {

inline constexpr int kWindowTiles = kImportancePassRows / 8;  // blocks of 8 query rows
inline constexpr float kLog2OfE = 1.44269504088896341f;

// A block's place in the task.
struct ImportanceWork {
  int batch;
  int first_head, num_heads;  // of the group, in task.head
  int kv_head;
  int head_tiles;  // blocks of 8 rows that hold one head's window
};

__device__ inline ImportanceWork importance_work(const ImportanceTask& task) {
  const int group = static_cast<int>(blockIdx.y);
  const int first = task.group_begin[group];
  return {static_cast<int>(blockIdx.z), first, task.group_begin[group + 1] - first,
          task.kv_head[group], (task.w + 7) / 8};
}

// Rows [64 pass, 64 pass + 64) of the group's heads, each head's window filled up to whole blocks;
// filling rows weigh nothing (log-sum-exp infinity).
template <class T>
__device__ inline void load_window(
    const ImportanceTask& task, const ImportanceWork& work, int pass, T* rows, float* lse2) {
  const int head_rows = 8 * work.head_tiles;
  const int begin = pass * kImportancePassRows, end = work.num_heads * head_rows;
  const T* q = static_cast<const T*>(task.q.data) + work.batch * task.q.batch;
  const auto row_of = [&](int r) {
    const int row = begin + r, within = row % head_rows;
    const bool present = row < end && within < task.w;
    const int head = present ? task.head[work.first_head + row / head_rows] : 0;
    return RowAddress<T>{q + head * task.q.head + (present ? within : 0) * task.q.row, present};
  };
  load_rows(rows, task.shape, kImportancePassRows, row_of);
  for (int r = static_cast<int>(threadIdx.x); r < kImportancePassRows;
       r += static_cast<int>(blockDim.x)) {
    const int row = begin + r, within = row % head_rows;
    float value = INFINITY;
    if (row < end && within < task.w) {
      const int head = task.head[work.first_head + row / head_rows];
      const int64_t at = (static_cast<int64_t>(work.batch) * task.num_heads + head) * task.w;
      value = task.lse[at + within] * kLog2OfE;
    }
    lse2[r] = value;
  }
}

template <class T>
__device__ inline void load_keys(const ImportanceTask& task,
                                 const ImportanceWork& work,
                                 int64_t begin,
                                 T* keys) {
  const T* k =
      static_cast<const T*>(task.k.data) + work.batch * task.k.batch + work.kv_head * task.k.head;
  load_rows(keys, task.shape, task.tile_keys, [&](int r) {
    const bool present = begin + r < task.prefix;
    return RowAddress<T>{k + (present ? begin + r : 0) * task.k.row, present};
  });
}

// A warp's sums over query rows for its 32 keys: [block of 16 keys][key g, key g + 8].
struct KeySums {
  float value[2][2];
};

// Adds up the lanes' columns and stores one key's score from each lane.
__device__ inline void store_scores(const ImportanceTask& task,
                                    const ImportanceWork& work,
                                    int head,
                                    int64_t warp_keys,
                                    KeySums& sums) {
  const int lane = lane_of_thread(), t = lane % 4;
  float mine = 0.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float sum = quad_sum(sums.value[i / 2][i % 2]);
    if (t == i) mine = sum;
    sums.value[i / 2][i % 2] = 0.0f;
  }
  const int64_t key = warp_keys + 8 * t + lane / 4;
  if (key < task.prefix) {
    const int64_t slot =
        static_cast<int64_t>(work.batch) * task.num_out + task.slot[work.first_head + head];
    task.out[slot * task.prefix + key] = mine * task.factor;
  }
}

// The query rows in shared memory against the warp's keys.
template <class T>
__device__ inline void score_pass(const ImportanceTask& task,
                                  const ImportanceWork& work,
                                  int pass,
                                  const T* keys,
                                  const T* rows,
                                  const float* lse2,
                                  int64_t warp_keys,
                                  KeySums& sums) {
  const int first_tile = pass * kWindowTiles, all_tiles = work.num_heads * work.head_tiles;
  const int left = all_tiles - first_tile, used = left < kWindowTiles ? left : kWindowTiles;
  const int t = lane_of_thread() % 4;
  float product[2][kWindowTiles][4] = {};
  multiply_rows<T, 2, kWindowTiles>(keys, rows, task.shape, used, product);
#pragma unroll
  for (int n = 0; n < kWindowTiles; ++n) {
    if (n < used) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int m = i / 4, c = i % 4;
        const float lse = lse2[8 * n + 2 * t + c % 2];
        const float weight = exp2f(fmaf(product[m][n][c], task.scale2, -lse));
        sums.value[m][c / 2] += task.square ? weight * weight : weight;
      }
      const int tile = first_tile + n;
      if ((tile + 1) % work.head_tiles == 0) {
        store_scores(task, work, tile / work.head_tiles, warp_keys, sums);
      }
    }
  }
}

// Shared memory: keys [tile_keys, stride], query rows [64, stride], their log-sum-exp [64].
template <class T>
__device__ inline void importance_block(const ImportanceTask& task, char* shared) {
  const ImportanceWork work = importance_work(task);
  T* keys = reinterpret_cast<T*>(shared);
  T* rows = keys + task.tile_keys * task.shape.stride;
  float* lse2 = reinterpret_cast<float*>(rows + kImportancePassRows * task.shape.stride);
  const int passes = (work.num_heads * work.head_tiles + kWindowTiles - 1) / kWindowTiles;
  const int64_t first_tile = static_cast<int64_t>(blockIdx.x) * task.tiles_per_block;
  const int warp_first = warp_of_thread() * kWarpKeys;
  for (int tile = 0; tile < task.tiles_per_block; ++tile) {
    const int64_t begin = (first_tile + tile) * task.tile_keys;
    if (begin >= task.prefix) return;
    load_keys(task, work, begin, keys);
    KeySums sums{};
    for (int pass = 0; pass < passes; ++pass) {
      if (passes > 1 || tile == 0) load_window(task, work, pass, rows, lse2);
      wait_copies();
      __syncthreads();
      score_pass(task, work, pass, keys + warp_first * task.shape.stride, rows, lse2,
                 begin + warp_first, sums);
      __syncthreads();
    }
  }
}

// One number from each thread.
__device__ inline void pool_block(const PoolTask& task) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kPoolThreads + threadIdx.x;
  if (index >= task.rows * task.n) return;
  const int64_t at = index % task.n, half = task.kernel / 2;
  const float* row = task.in + (index - at);
  float sum = 0.0f, largest = 0.0f;  // scores are not negative: the zeros outside never win
  for (int64_t i = at - half; i <= at + half; ++i) {
    const float value = i >= 0 && i < task.n ? row[i] : 0.0f;
    sum += value;
    largest = fmaxf(largest, value);
  }
  task.out[index] = task.average ? sum / static_cast<float>(task.kernel) : largest;
}

}  // namespace headscope::kernels
