// Row copies of kept positions. Where target rows may lie on source rows, a tile of rows is held in
// registers until every tile that reads the rows it overwrites has read them: positions ascend, so
// these are at most two earlier tiles, and tiles start in order, so waiting for them ends.
#pragma once

#include "kernels/cuda/compact_task.h"
#include "kernels/cuda/instructions.cuh"

namespace headscope::kernels {

struct CompactShared {
  int64_t tile;
};

// First of the positions that is not below `bound`.
__device__ inline int64_t first_not_below(const int64_t* positions, int64_t count, int64_t bound) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (positions[middle] < bound) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

__device__ inline void wait_for_readers(const CompactTask& task, int64_t begin, int64_t end) {
  const int64_t first = first_not_below(task.positions, task.count, begin + task.shift);
  const int64_t last = first_not_below(task.positions, task.count, end + task.shift);
  if (first == last) return;
  refuse_if(last > end);  // a target row in front of the source row it is read from, or none
  for (int64_t tile = first / task.tile_rows; tile <= (last - 1) / task.tile_rows; ++tile) {
    while (load_acquire(task.read + tile) == 0) pause_waiting();
  }
}

template <class Chunk>
__device__ inline void compact_block(const CompactTask& task, CompactShared& shared) {
  const int thread = static_cast<int>(threadIdx.x);
  const bool ordered = task.ticket != nullptr;
  if (ordered) {
    if (thread == 0) shared.tile = static_cast<int64_t>(atomicAdd(task.ticket, 1u));
    __syncthreads();
  }
  const int64_t tile = ordered ? shared.tile : static_cast<int64_t>(blockIdx.x);
  const int64_t begin = tile * task.tile_rows;
  const int64_t end = begin + task.tile_rows < task.count ? begin + task.tile_rows : task.count;
  const int chunks = static_cast<int>(end - begin) * task.row_chunks;
  Chunk held[kCompactChunksPerThread];
#pragma unroll
  for (int i = 0; i < kCompactChunksPerThread; ++i) {
    const int at = i * kCompactThreads + thread;
    if (at < chunks) {
      const int64_t row = begin + at / task.row_chunks;
      const int64_t position = task.positions[row];
      refuse_if(position < 0 || position >= task.source_rows ||
                (row > 0 && task.positions[row - 1] >= position));
      const char* from = task.source + position * task.source_stride;
      held[i] = reinterpret_cast<const Chunk*>(from)[at % task.row_chunks];
    }
  }
  if (ordered) {
    __syncthreads();
    if (thread == 0) {
      __threadfence();
      store_release(task.read + tile, 1u);
      wait_for_readers(task, begin, end);
      __threadfence();
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kCompactChunksPerThread; ++i) {
    const int at = i * kCompactThreads + thread;
    if (at < chunks) {
      char* to = task.target + (begin + at / task.row_chunks) * task.target_stride;
      reinterpret_cast<Chunk*>(to)[at % task.row_chunks] = held[i];
    }
  }
}

}  // namespace headscope::kernels
