// Instructions that CUDA C++ has no plain name for. A host build brings functions of the same names
// (tests/kernels/emulated_cuda.h).
#pragma once

#ifdef __CUDACC__

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

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

// Starts the copy of 16 (`wide`) or 8 bytes to shared memory; zeros where not `present`.
__device__ inline void copy_async(void* to, const void* from, bool wide, bool present) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if (wide) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(present ? 16 : 0)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(address), "l"(from),
                 "r"(present ? 8 : 0)
                 : "memory");
  }
}

// Returns when this thread's copies have arrived.
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

// sum += a times b over the warp: a is 16 x 16, b 16 x 8, sum 16 x 8; lane 4 g + t holds the places
// that the PTX manual gives for mma.m16n8k16. The last argument is a number of the inputs' type.
__device__ inline void multiply_add(float (&sum)[4],
                                    const uint32_t (&a)[4],
                                    const uint32_t (&b)[2],
                                    c10::BFloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void multiply_add(float (&sum)[4],
                                    const uint32_t (&a)[4],
                                    const uint32_t (&b)[2],
                                    c10::Half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 blocks of 16-bit numbers, transposed. Lane 8 i + r points at row r of block i; lane
// 4 g + t gets rows 2 t and 2 t + 1 of column g of each.
__device__ inline void load_transposed(uint32_t (&block)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(block[0]), "=r"(block[1]), "=r"(block[2]), "=r"(block[3])
               : "r"(address)
               : "memory");
}

// Ends the kernel with an error that the next synchronisation reports.
__device__ inline void refuse_if(bool wrong) {
  if (wrong) __trap();
}

}  // namespace headscope::kernels

#endif
