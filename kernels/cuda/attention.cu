#include "kernels/cuda/attention.cuh"

#include "kernels/cuda/dynamic_shared.cuh"
#include "kernels/cuda/for_value_type.h"
#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

template <class T, int kTiles>
__global__ __launch_bounds__(kAttentionThreads) void attention_kernel(
    const __grid_constant__ AttentionTask task) {
  attention_block<T, kTiles>(task, dynamic_shared());
}

template <class T, int kTiles>
cudaError_t launch(const AttentionTask& task, cudaStream_t stream) {
  const int block_rows = 16 * task.row_groups;
  const int rows = block_rows + task.tile_keys * (kTiles > 0 ? 2 : 1);
  const size_t bytes =
      static_cast<size_t>(rows) * static_cast<size_t>(task.shape.stride) * sizeof(T);
  const cudaError_t allowed = allow_shared(attention_kernel<T, kTiles>, bytes);
  if (allowed != cudaSuccess) return allowed;
  const int packed = task.group * task.n;
  const dim3 grid(static_cast<unsigned>(task.num_segments),
                  static_cast<unsigned>((packed + block_rows - 1) / block_rows));
  attention_kernel<T, kTiles><<<grid, kAttentionThreads, bytes, stream>>>(task);
  return cudaGetLastError();
}

template <class T>
cudaError_t launch_for_depth(const AttentionTask& task, cudaStream_t stream) {
  if (task.v.data == nullptr) return launch<T, 0>(task, stream);
  if (task.shape.depth <= 64) return launch<T, 8>(task, stream);
  if (task.shape.depth <= 128) return launch<T, 16>(task, stream);
  return launch<T, 32>(task, stream);
}

}  // namespace

cudaError_t launch_attention(const AttentionTask& task, cudaStream_t stream) {
  return for_value_type(task.shape.type,
                        [&](auto zero) { return launch_for_depth<decltype(zero)>(task, stream); });
}

}  // namespace headscope::kernels
