// Sums over a block.
#pragma once

#include <cstdint>

namespace headscope::kernels {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarpLanes = 32;

// Sum of `value` over the threads before this one, and over all of them. Every thread of the block
// takes part; `scratch` has room for one number for each warp and is free again afterwards.
struct BlockSum {
  uint32_t before;
  uint32_t total;
};
__device__ inline BlockSum block_sum(uint32_t value, uint32_t* scratch) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes, warp = thread / kWarpLanes;
  const int warps = static_cast<int>(blockDim.x) / kWarpLanes;
  uint32_t sum = value;
  for (int step = 1; step < kWarpLanes; step *= 2) {
    const uint32_t other = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(step));
    if (lane >= step) sum += other;
  }
  if (lane == kWarpLanes - 1) scratch[warp] = sum;
  __syncthreads();
  uint32_t before = 0, total = 0;
  for (int w = 0; w < warps; ++w) {
    if (w < warp) before += scratch[w];
    total += scratch[w];
  }
  __syncthreads();
  return {before + sum - value, total};
}

}  // namespace headscope::kernels
