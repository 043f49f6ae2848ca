#include "kernels/cuda/top_attended.cuh"

#include "kernels/cuda/dynamic_shared.cuh"
#include "kernels/cuda/for_value_type.h"
#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

template <class T>
__global__ __launch_bounds__(128) void logit_kernel(const __grid_constant__ LogitTask task) {
  logit_block<T>(task, dynamic_shared());
}

__global__ __launch_bounds__(kRankThreads) void rank_kernel(const __grid_constant__ RankTask task) {
  __shared__ RankShared shared;
  rank_block(task, shared);
}

template <class T>
cudaError_t launch(const LogitTask& task, cudaStream_t stream) {
  const size_t rows = static_cast<size_t>(task.tile_keys + kLogitRows);
  const size_t bytes = rows * static_cast<size_t>(task.shape.stride) * sizeof(T);
  const cudaError_t allowed = allow_shared(logit_kernel<T>, bytes);
  if (allowed != cudaSuccess) return allowed;
  const int blocks = task.num_kv_heads * ((task.group * task.n + kLogitRows - 1) / kLogitRows);
  const dim3 grid(static_cast<unsigned>((task.num_keys + task.tile_keys - 1) / task.tile_keys),
                  static_cast<unsigned>(blocks));
  logit_kernel<T><<<grid, task.tile_keys, bytes, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_logits(const LogitTask& task, cudaStream_t stream) {
  return for_value_type(task.shape.type,
                        [&](auto zero) { return launch<decltype(zero)>(task, stream); });
}

cudaError_t launch_rank(const RankTask& task, cudaStream_t stream) {
  rank_kernel<<<static_cast<unsigned>(task.heads * task.n), kRankThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace headscope::kernels
