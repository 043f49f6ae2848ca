#include "kernels/cuda/select_retained.cuh"

#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

__global__ __launch_bounds__(kSelectThreads) void select_kernel(
    const __grid_constant__ SelectTask task) {
  __shared__ SelectShared shared;
  select_block(task, shared);
}

}  // namespace

cudaError_t launch_select(const SelectTask& task, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(task.rows * task.blocks_per_row));
  if (task.blocks_per_row == 1) {
    select_kernel<<<grid, kSelectThreads, 0, stream>>>(task);
    return cudaGetLastError();
  }
  // Cooperative: the runtime promises that all blocks are resident, or refuses.
  void* arguments[] = {const_cast<SelectTask*>(&task)};
  return cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(select_kernel), grid,
                                     dim3(kSelectThreads), arguments, 0, stream);
}

}  // namespace headscope::kernels
