// Plans of the compaction kernel: the widest copy that all addresses allow, and whether the target
// may lie on the source.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <bit>

#include "kernels/cuda_ops.h"

namespace headscope::kernels {
namespace {

// Bytes from the first to behind the last byte of [rows, d] with unit stride along d.
int64_t extent(const at::Tensor& t, int64_t row_bytes) {
  return t.size(0) == 0 ? 0 : (t.size(0) - 1) * t.stride(0) * t.element_size() + row_bytes;
}

// The largest power of two up to 16 that divides all addresses and sizes of the copy.
int chunk_bytes(const CompactTask& task, int64_t row_bytes) {
  const auto all = reinterpret_cast<uintptr_t>(task.source) |
                   reinterpret_cast<uintptr_t>(task.target) |
                   static_cast<uintptr_t>(task.source_stride) |
                   static_cast<uintptr_t>(task.target_stride) | static_cast<uintptr_t>(row_bytes);
  return std::min(16, 1 << std::countr_zero(all | 16u));
}

}  // namespace

bool compact_kv_cuda(const KernelLauncher& launcher,
                     const at::Tensor& source,
                     const at::Tensor& positions,
                     const at::Tensor& target,
                     int64_t target_offset) {
  const int64_t count = positions.size(0), bytes = source.element_size();
  const int64_t row_bytes = source.size(1) * bytes;
  if (count == 0 || row_bytes == 0) return true;
  if (source.stride(1) != 1 || target.stride(1) != 1) return false;
  const at::Tensor index = positions.contiguous();
  CompactTask task{};
  task.source = static_cast<const char*>(source.const_data_ptr());
  task.source_rows = source.size(0);
  task.source_stride = source.stride(0) * bytes;
  task.target_stride = target.stride(0) * bytes;
  task.target = static_cast<char*>(target.data_ptr()) + target_offset * task.target_stride;
  task.positions = index.const_data_ptr<int64_t>();
  task.count = count;
  task.chunk_bytes = chunk_bytes(task, row_bytes);
  const int64_t chunks = row_bytes / task.chunk_bytes;
  if (task.chunk_bytes < 2 || chunks > kCompactTileChunks) return false;
  task.row_chunks = static_cast<int>(chunks);
  task.tile_rows = kCompactTileChunks / task.row_chunks;
  const c10::DeviceGuard guard(source.device());
  at::Tensor flags;
  const char* target_begin = task.target;
  const char* target_end = task.target + (count - 1) * task.target_stride + row_bytes;
  if (target_begin < task.source + extent(source, row_bytes) && task.source < target_end) {
    const int64_t gap = task.target - task.source;
    // Rows of one grid, or else a target row would lie across two source rows.
    if (task.source_stride <= 0 || task.source_stride != task.target_stride ||
        gap % task.source_stride != 0) {
      return false;
    }
    const int64_t tiles = (count + task.tile_rows - 1) / task.tile_rows;
    flags = at::zeros({tiles + 1}, positions.options().dtype(at::kInt));
    task.ticket = static_cast<uint32_t*>(flags.data_ptr());
    task.read = task.ticket + 1;
    task.shift = gap / task.source_stride;
  }
  launcher.launch(task);
  return true;
}

}  // namespace headscope::kernels
