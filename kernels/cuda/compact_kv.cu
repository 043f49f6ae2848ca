#include "kernels/cuda/compact_kv.cuh"

#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

template <class Chunk>
__global__ __launch_bounds__(kCompactThreads) void compact_kernel(
    const __grid_constant__ CompactTask task) {
  __shared__ CompactShared shared;
  compact_block<Chunk>(task, shared);
}

template <class Chunk>
cudaError_t launch(const CompactTask& task, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>((task.count + task.tile_rows - 1) / task.tile_rows);
  compact_kernel<Chunk><<<tiles, kCompactThreads, 0, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_compact(const CompactTask& task, cudaStream_t stream) {
  switch (task.chunk_bytes) {
    case 16:
      return launch<uint4>(task, stream);
    case 8:
      return launch<uint2>(task, stream);
    case 4:
      return launch<uint32_t>(task, stream);
    default:
      return launch<uint16_t>(task, stream);
  }
}

}  // namespace headscope::kernels
