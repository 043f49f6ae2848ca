// The part of CUDA C++ that the kernels of kernels/cuda use, on the emulator: with this included
// first, their headers compile as plain C++. And the instructions of kernels/cuda/instructions.cuh.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "tests/kernels/cuda_emulator.h"

#define __device__
#define __forceinline__ inline
#define threadIdx (::headscope::emulator::thread_index())
#define blockIdx (::headscope::emulator::block_index())
#define blockDim (::headscope::emulator::block_size())
#define gridDim (::headscope::emulator::grid_size())

namespace headscope::kernels {

// Vector types of CUDA, with its alignment.
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline void __syncthreads() {
  emulator::block_barrier();
}
inline void __threadfence() {}

template <class T>
emulator::LaneValue shown(const T& value) {
  static_assert(sizeof(T) <= sizeof(emulator::LaneValue) && std::is_trivially_copyable_v<T>);
  emulator::LaneValue bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
template <class T>
T seen(const emulator::LaneValue& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

inline unsigned lane_index() {
  return threadIdx.x % 32u;
}

inline void __syncwarp() {
  emulator::exchange("__syncwarp", {});
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return seen<T>(
      emulator::exchange("__shfl_sync", shown(value))[static_cast<unsigned>(from) % 32u]);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  const auto from = lane_index() ^ static_cast<unsigned>(mask);
  return seen<T>(emulator::exchange("__shfl_xor_sync", shown(value))[from]);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned step) {
  const unsigned from = lane_index() >= step ? lane_index() - step : lane_index();
  return seen<T>(emulator::exchange("__shfl_up_sync", shown(value))[from]);
}
inline unsigned __ballot_sync(unsigned, bool vote) {
  const emulator::WarpValues& votes = emulator::exchange("__ballot_sync", shown(vote));
  unsigned all = 0;
  for (unsigned lane = 0; lane < 32; ++lane) all |= (seen<bool>(votes[lane]) ? 1u : 0u) << lane;
  return all;
}

// Threads run one at a time: a plain addition is atomic.
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}

inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline uint32_t __float_as_uint(float value) {
  return std::bit_cast<uint32_t>(value);
}

inline uint32_t load_acquire(const uint32_t* from) {
  return *from;
}
inline void store_release(uint32_t* to, uint32_t value) {
  *to = value;
}
inline uint32_t load_fresh(const uint32_t* from) {
  return *from;
}
inline void copy_async(void* to, const void* from, bool wide, bool present) {
  const size_t bytes = wide ? 16 : 8;
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 ||
      (present && reinterpret_cast<uintptr_t>(from) % bytes != 0)) {
    throw std::logic_error("a copy to shared memory is not aligned");
  }
  if (present) {
    std::memcpy(to, from, bytes);
  } else {
    std::memset(to, 0, bytes);
  }
}
inline void wait_copies() {}

// One of two 16-bit numbers, the lower bits first.
template <class T>
float half_of(uint32_t pair, unsigned index) {
  const auto bits = static_cast<uint16_t>(pair >> (16 * index));
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return static_cast<float>(value);
}
template <class T>
void multiply_add(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], T) {
  struct Operands {
    uint32_t a[4], b[2];
  };
  const Operands mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const emulator::WarpValues& all = emulator::exchange("mma", shown(mine));
  const unsigned g = lane_index() / 4, t = lane_index() % 4;
  for (unsigned k = 0; k < 16; ++k) {
    const unsigned quarter = k % 8 / 2;
    const auto upper = seen<Operands>(all[4 * g + quarter]);
    const float high = half_of<T>(upper.a[k / 8 * 2], k % 2);
    const float low = half_of<T>(upper.a[k / 8 * 2 + 1], k % 2);
    for (unsigned c = 0; c < 2; ++c) {
      const auto column = seen<Operands>(all[4 * (2 * t + c) + quarter]);
      const float right = half_of<T>(column.b[k / 8], k % 2);
      sum[c] += high * right;
      sum[2 + c] += low * right;
    }
  }
}

inline void load_transposed(uint32_t (&block)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
    throw std::logic_error("a row of ldmatrix is not aligned");
  }
  const emulator::WarpValues& rows = emulator::exchange("ldmatrix", shown(row));
  const unsigned g = lane_index() / 4, t = lane_index() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    uint16_t pair[2];
    for (unsigned r = 0; r < 2; ++r) {
      const auto* from = seen<const char*>(rows[8 * i + 2 * t + r]);
      std::memcpy(&pair[r], from + 2 * g, sizeof(uint16_t));
    }
    block[i] = static_cast<uint32_t>(pair[0]) | static_cast<uint32_t>(pair[1]) << 16;
  }
}

inline void pause_waiting() {
  emulator::yield_to_others();
}
inline void refuse_if(bool wrong) {
  if (wrong) throw std::logic_error("the kernel refused its input");
}

}  // namespace headscope::kernels
