// Tiles of rows in shared memory, and the products of their rows: on tensor cores for the 16-bit
// types, multiply-adds for float32. A warp holds products in the layout of mma.sync's accumulators:
// lane 4 g + t has, of every 16 x 8 block, rows g and g + 8 in columns 2 t and 2 t + 1.
#pragma once

#include <cstdint>

#include "kernels/cuda/block_scan.cuh"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/tile_task.h"

namespace headscope::kernels {

__device__ inline int lane_of_thread() {
  return static_cast<int>(threadIdx.x) % kWarpLanes;
}
__device__ inline int warp_of_thread() {
  return static_cast<int>(threadIdx.x) / kWarpLanes;
}

// Where a row lies; not present: zeros.
template <class T>
struct RowAddress {
  const T* from;  // a valid address in any case
  bool present;
};

// Starts the copy of `rows` rows into a tile, with zeros behind the d numbers. row_of(r) gives the
// address of row r. wait_copies() and a barrier make them visible.
template <class T, class RowOf>
__device__ inline void load_rows(T* tile, const TileShape& shape, int rows, const RowOf& row_of) {
  const int piece = (shape.wide ? 16 : 8) / static_cast<int>(sizeof(T));
  const int pieces = shape.depth / piece;  // at most 64, as many as the smallest block has threads
  const int thread = static_cast<int>(threadIdx.x);
  const int rows_at_once = static_cast<int>(blockDim.x) / pieces;
  const int column = thread % pieces * piece;
  int row = thread / pieces;
  if (row >= rows_at_once) return;
  for (; row < rows; row += rows_at_once) {
    const RowAddress<T> address = row_of(row);
    const bool present = address.present && column < shape.d;
    T* to = tile + row * shape.stride + column;
    copy_async(to, address.from + (present ? column : 0), shape.wide, present);
  }
}

// Two neighbours of a 16-bit type.
template <class T>
__device__ inline uint32_t pair_at(const T* from) {
  static_assert(sizeof(T) == 2);
  return *reinterpret_cast<const uint32_t*>(from);
}

template <class T>
__device__ inline uint32_t pack_pair(float low, float high) {
  union {
    T half[2];
    uint32_t both;
  } pair = {{T(low), T(high)}};
  return pair.both;
}

__device__ inline float add_dot(const float4& a, const float4& b, float sum) {
  sum = fmaf(a.x, b.x, sum);
  sum = fmaf(a.y, b.y, sum);
  sum = fmaf(a.z, b.z, sum);
  return fmaf(a.w, b.w, sum);
}

__device__ inline const float4& four_at(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}

// product[m][n] += the 16 rows from a + 16 m on times the 8 rows from b + 8 n on, n < used.
template <class T, int kM, int kN>
__device__ __forceinline__ void multiply_rows(
    const T* a, const T* b, const TileShape& shape, int used, float (&product)[kM][kN][4]) {
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4, stride = shape.stride;
  for (int k = 0; k < shape.depth; k += kDepthStep) {
    if constexpr (sizeof(T) == 2) {
      uint32_t left[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        const T* upper = a + (16 * m + g) * stride + k + 2 * t;
        const T* lower = upper + 8 * stride;
        left[m][0] = pair_at(upper);
        left[m][1] = pair_at(lower);
        left[m][2] = pair_at(upper + 8);
        left[m][3] = pair_at(lower + 8);
      }
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        if (n < used) {
          const T* row = b + (8 * n + g) * stride + k + 2 * t;
          const uint32_t right[2] = {pair_at(row), pair_at(row + 8)};
#pragma unroll
          for (int m = 0; m < kM; ++m) multiply_add(product[m][n], left[m], right, T());
        }
      }
    } else {
#pragma unroll
      for (int part = 0; part < kDepthStep; part += 4) {
        float4 left[kM][2];
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          left[m][0] = four_at(a + (16 * m + g) * stride + k + part);
          left[m][1] = four_at(a + (16 * m + g + 8) * stride + k + part);
        }
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          if (n < used) {
            const float4 right0 = four_at(b + (8 * n + 2 * t) * stride + k + part);
            const float4 right1 = four_at(b + (8 * n + 2 * t + 1) * stride + k + part);
#pragma unroll
            for (int m = 0; m < kM; ++m) {
              product[m][n][0] = add_dot(left[m][0], right0, product[m][n][0]);
              product[m][n][1] = add_dot(left[m][0], right1, product[m][n][1]);
              product[m][n][2] = add_dot(left[m][1], right0, product[m][n][2]);
              product[m][n][3] = add_dot(left[m][1], right1, product[m][n][3]);
            }
          }
        }
      }
    }
  }
}

// Over the four lanes that share rows g and g + 8.
__device__ inline float quad_sum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}
__device__ inline float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

}  // namespace headscope::kernels
