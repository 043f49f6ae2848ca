#include "kernels/cuda/window_importance.cuh"

#include "kernels/cuda/dynamic_shared.cuh"
#include "kernels/cuda/for_value_type.h"
#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

// At most four warps (tile_keys / kWarpKeys).
template <class T>
__global__ __launch_bounds__(128) void importance_kernel(
    const __grid_constant__ ImportanceTask task) {
  importance_block<T>(task, dynamic_shared());
}

__global__ __launch_bounds__(kPoolThreads) void pool_kernel(const __grid_constant__ PoolTask task) {
  pool_block(task);
}

template <class T>
cudaError_t launch(const ImportanceTask& task, cudaStream_t stream) {
  const size_t rows = static_cast<size_t>(task.tile_keys + kImportancePassRows);
  const size_t bytes = rows * static_cast<size_t>(task.shape.stride) * sizeof(T) +
                       kImportancePassRows * sizeof(float);
  const cudaError_t allowed = allow_shared(importance_kernel<T>, bytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t keys = int64_t{task.tile_keys} * task.tiles_per_block;
  const dim3 grid(static_cast<unsigned>((task.prefix + keys - 1) / keys),
                  static_cast<unsigned>(task.num_groups), static_cast<unsigned>(task.batch));
  importance_kernel<T><<<grid, task.tile_keys / kWarpKeys * kWarpLanes, bytes, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_importance(const ImportanceTask& task, cudaStream_t stream) {
  return for_value_type(task.shape.type,
                        [&](auto zero) { return launch<decltype(zero)>(task, stream); });
}

cudaError_t launch_pool(const PoolTask& task, cudaStream_t stream) {
  const int64_t blocks = (task.rows * task.n + kPoolThreads - 1) / kPoolThreads;
  pool_kernel<<<static_cast<unsigned>(blocks), kPoolThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace headscope::kernels
