#include "kernels/cuda/merge.cuh"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

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
  switch (task.type) {
    case ValueType::kBFloat16:
      return launch<c10::BFloat16>(task, stream);
    case ValueType::kFloat16:
      return launch<c10::Half>(task, stream);
    default:
      return launch<float>(task, stream);
  }
}

cudaError_t launch_mass(const MassTask& task, cudaStream_t stream) {
  const int outputs = task.lse == nullptr ? 1 : task.num_spans;
  const int numbers = task.kv_rows * task.packed_rows * outputs;
  const int blocks = (numbers + kMassThreads - 1) / kMassThreads;
  mass_kernel<<<static_cast<unsigned>(blocks), kMassThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace headscope::kernels
