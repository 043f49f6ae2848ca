// The largest scores of each row by radix selection on whole numbers that order like the scores.
// Three histograms of 11, 11 and 10 bits find the cut; then one ordered sweep writes the positions.
// One launch does all rows; a long row is shared by several blocks, which add up their histograms
// and wait for each other three times.
#pragma once

#include "kernels/cuda/block_scan.cuh"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/select_task.h"

namespace headscope::kernels {

struct SelectShared {
  uint32_t histogram[kSelectBins];
  uint32_t scratch[kSelectThreads / kWarpLanes];
  uint32_t above[kSelectThreads / kWarpLanes], equal[kSelectThreads / kWarpLanes];
  uint32_t bin, before_bin;
  uint32_t key[kCachedKeys];
};

// NaN below -inf, both zeros equal.
__device__ inline uint32_t select_key(float score) {
  if (score != score) return 0;
  const uint32_t bits = __float_as_uint(score + 0.0f);  // -0 becomes +0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// One block's part of a row.
struct SelectSlice {
  const float* score;
  int64_t first;  // position of score[0]
  int length;
  int row, block, blocks;  // block of blocks
  bool cached;
};

__device__ inline SelectSlice select_slice(const SelectTask& task) {
  const int row = static_cast<int>(blockIdx.x) / task.blocks_per_row;
  const int block = static_cast<int>(blockIdx.x) % task.blocks_per_row;
  const int64_t begin = task.n * block / task.blocks_per_row;
  const int64_t end = task.n * (block + 1) / task.blocks_per_row;
  return {task.scores + row * task.row_stride + begin,
          begin,
          static_cast<int>(end - begin),
          row,
          block,
          task.blocks_per_row,
          end - begin <= kCachedKeys};
}

__device__ inline uint32_t key_at(const SelectSlice& slice, const SelectShared& shared, int i) {
  return slice.cached ? shared.key[i] : select_key(slice.score[i]);
}

// Returns when all blocks of the row have come here for the `turn`-th time (from 1).
__device__ inline void wait_for_row(const SelectTask& task, const SelectSlice& slice, int turn) {
  if (slice.blocks == 1) return;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(task.arrived + slice.row, 1u);
    const auto all = static_cast<uint32_t>(turn * slice.blocks);
    while (load_acquire(task.arrived + slice.row) < all) pause_waiting();
    __threadfence();
  }
  __syncthreads();
}

// Histogram of `bits` bits of the keys whose higher bits are `prefix`.
__device__ inline void count_keys(
    const SelectSlice& slice, SelectShared& shared, int shift, int bits, uint32_t prefix) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int b = thread; b < kSelectBins; b += kSelectThreads) shared.histogram[b] = 0;
  __syncthreads();
  const uint32_t mask = (1u << bits) - 1u;
  const int higher = shift + bits;
  for (int i = thread; i < slice.length; i += kSelectThreads) {
    const uint32_t key = key_at(slice, shared, i);
    if (higher == 32 || key >> higher == prefix) {
      atomicAdd(&shared.histogram[(key >> shift) & mask], 1u);
    }
  }
  __syncthreads();
}

// Keys above the cut so far, and how many more are wanted of those with the cut's leading bits.
struct SelectCut {
  uint32_t prefix;
  uint32_t wanted;
  uint32_t slice_above;  // in this slice
};

// The bin in which the wanted-th largest key lies, from the row's histogram; each thread looks at
// four bins, the highest first.
__device__ inline void find_bin(const SelectTask& task,
                                const SelectSlice& slice,
                                SelectShared& shared,
                                int pass,
                                int bits,
                                SelectCut& cut) {
  constexpr int kBinsPerThread = kSelectBins / kSelectThreads;
  const int thread = static_cast<int>(threadIdx.x);
  uint32_t* row_histogram = slice.blocks == 1
                                ? nullptr
                                : task.histogram + (slice.row * kSelectPasses + pass) * kSelectBins;
  if (slice.blocks > 1) {
    for (int b = thread; b < kSelectBins; b += kSelectThreads) {
      if (shared.histogram[b] != 0) atomicAdd(row_histogram + b, shared.histogram[b]);
    }
    wait_for_row(task, slice, pass + 1);
  }
  uint32_t here[kBinsPerThread], sum = 0;
#pragma unroll
  for (int i = 0; i < kBinsPerThread; ++i) {
    const int b = kSelectBins - 1 - (thread * kBinsPerThread + i);
    here[i] = slice.blocks == 1 ? shared.histogram[b] : load_fresh(row_histogram + b);
    sum += here[i];
  }
  uint32_t before = block_sum(sum, shared.scratch).before;
#pragma unroll
  for (int i = 0; i < kBinsPerThread; ++i) {
    if (before < cut.wanted && cut.wanted <= before + here[i]) {
      shared.bin = static_cast<uint32_t>(kSelectBins - 1 - (thread * kBinsPerThread + i));
      shared.before_bin = before;
    }
    before += here[i];
  }
  __syncthreads();
  uint32_t above = 0;
#pragma unroll
  for (int i = 0; i < kBinsPerThread; ++i) {
    const auto b = static_cast<uint32_t>(kSelectBins - 1 - (thread * kBinsPerThread + i));
    if (b > shared.bin) above += shared.histogram[b];
  }
  cut.slice_above += block_sum(above, shared.scratch).total;
  cut.prefix = cut.prefix << bits | shared.bin;
  cut.wanted -= shared.before_bin;
}

// Writes the positions of the slice's keys above the cut, and of those at it as long as the row
// still wants some. `above` and `equal` of the row's keys lie before the slice.
__device__ inline void write_positions(const SelectTask& task,
                                       const SelectSlice& slice,
                                       SelectShared& shared,
                                       const SelectCut& cut,
                                       uint32_t above,
                                       uint32_t equal) {
  constexpr int kPerThread = 4, kTile = kSelectThreads * kPerThread;
  constexpr int kWarps = kSelectThreads / kWarpLanes;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const unsigned lower = (1u << lane) - 1u;
  int64_t* out = task.positions + task.first[slice.row];
  for (int tile = 0; tile < slice.length; tile += kTile) {
    const int begin = tile + warp * kWarpLanes * kPerThread + lane;
    unsigned is_above[kPerThread], is_equal[kPerThread];
    uint32_t warp_above = 0, warp_equal = 0;
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) {
      const int i = begin + j * kWarpLanes;
      const bool inside = i < slice.length;
      const uint32_t key = inside ? key_at(slice, shared, i) : 0;
      is_above[j] = __ballot_sync(kAllLanes, inside && key > cut.prefix);
      is_equal[j] = __ballot_sync(kAllLanes, inside && key == cut.prefix);
      warp_above += static_cast<uint32_t>(__popc(is_above[j]));
      warp_equal += static_cast<uint32_t>(__popc(is_equal[j]));
    }
    if (lane == 0) {
      shared.above[warp] = warp_above;
      shared.equal[warp] = warp_equal;
    }
    __syncthreads();
    uint32_t above_here = above, equal_here = equal;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) above_here += shared.above[w];
      if (w < warp) equal_here += shared.equal[w];
      above += shared.above[w];
      equal += shared.equal[w];
    }
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) {
      const uint32_t a = above_here + static_cast<uint32_t>(__popc(is_above[j] & lower));
      const uint32_t e = equal_here + static_cast<uint32_t>(__popc(is_equal[j] & lower));
      const bool mine = (is_above[j] >> lane & 1u) != 0;
      const bool tie = (is_equal[j] >> lane & 1u) != 0 && e < cut.wanted;
      if (mine || tie) {
        out[a + (e < cut.wanted ? e : cut.wanted)] = slice.first + begin + j * kWarpLanes;
      }
      above_here += static_cast<uint32_t>(__popc(is_above[j]));
      equal_here += static_cast<uint32_t>(__popc(is_equal[j]));
    }
    __syncthreads();
  }
}

__device__ inline void select_block(const SelectTask& task, SelectShared& shared) {
  const SelectSlice slice = select_slice(task);
  const int thread = static_cast<int>(threadIdx.x);
  if (task.count[slice.row] == 0) return;  // all blocks of the row agree
  if (slice.cached) {
    for (int i = thread; i < slice.length; i += kSelectThreads) {
      shared.key[i] = select_key(slice.score[i]);
    }
  }
  SelectCut cut{0, task.count[slice.row], 0};
  int shift = 32;
  for (int pass = 0; pass < kSelectPasses; ++pass) {
    const int bits = shift < 11 ? shift : 11;
    shift -= bits;
    count_keys(slice, shared, shift, bits, cut.prefix);
    find_bin(task, slice, shared, pass, bits, cut);
  }
  uint32_t above = 0, equal = 0;
  if (slice.blocks > 1) {
    uint32_t* taken = task.taken + slice.row * slice.blocks * 2;
    if (thread == 0) {
      taken[2 * slice.block] = cut.slice_above;
      taken[2 * slice.block + 1] = shared.histogram[shared.bin];
    }
    wait_for_row(task, slice, kSelectPasses + 1);
    const bool earlier = thread < slice.block;
    above = block_sum(earlier ? load_fresh(taken + 2 * thread) : 0, shared.scratch).total;
    equal = block_sum(earlier ? load_fresh(taken + 2 * thread + 1) : 0, shared.scratch).total;
  }
  write_positions(task, slice, shared, cut, above, equal);
}

}  // namespace headscope::kernels
