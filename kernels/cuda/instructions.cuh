// Instructions that CUDA C++ has no plain name for. A host build brings functions of the same names
// (tests/kernels/emulated_cuda.h).
#pragma once

#ifdef __CUDACC__

#include <cstdint>

namespace headscope::kernels {

// A read that sees what other blocks published with store_release.
__device__ inline uint32_t load_acquire(const uint32_t* from) {
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}

__device__ inline void store_release(uint32_t* to, uint32_t value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}

// A read past the first-level cache, which is not kept coherent between multiprocessors.
__device__ inline uint32_t load_fresh(const uint32_t* from) {
  return __ldcg(from);
}

// Told inside a loop that waits for another block.
__device__ inline void pause_waiting() {
  __nanosleep(20);
}

// Ends the kernel with an error that the next synchronisation reports.
__device__ inline void refuse_if(bool wrong) {
  if (wrong) __trap();
}

}  // namespace headscope::kernels

#endif
