// Shared memory whose size is chosen at launch.
#pragma once

#include <cstddef>

namespace headscope::kernels {

__device__ inline char* dynamic_shared() {
  extern __shared__ uint4 shared_pieces[];  // uint4: aligned to 16 bytes
  return reinterpret_cast<char*>(shared_pieces);
}

// More than 48 KiB for a block has to be asked for.
template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, size_t bytes) {
  if (bytes <= size_t{48} << 10) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

}  // namespace headscope::kernels
