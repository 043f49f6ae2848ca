#include "kernels/cuda/merge.cuh"

#include "kernels/cuda/for_value_type.h"
#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

template <class T>
__global__ __launch_bounds__(kMergeThreads) void merge_kernel(
    const __grid_constant__ MergeTask task) {
  merge_block<T>(task);
}

__global__ __launch_bounds__(kMassThreads) void mass_kernel(const __grid_constant__ MassTask task) {
  mass_block(task);
}

template <class T>
cudaError_t launch(const MergeTask& task, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(task.packed_rows), static_cast<unsigned>(task.kv_rows));
  merge_kernel<T><<<grid, kMergeThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_merge(const MergeTask& task, cudaStream_t stream) {
  return for_value_type(task.type,
                        [&](auto zero) { return launch<decltype(zero)>(task, stream); });
}

cudaError_t launch_mass(const MassTask& task, cudaStream_t stream) {
  const int outputs = task.lse == nullptr ? 1 : task.num_spans;
  const int numbers = task.kv_rows * task.packed_rows * outputs;
  const int blocks = (numbers + kMassThreads - 1) / kMassThreads;
  mass_kernel<<<static_cast<unsigned>(blocks), kMassThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace headscope::kernels
