// Row copies of kept positions.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/cpu_ops.h"
#include "kernels/tensor_check.h"
#include "kernels/tile_kernels.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kBytesPerTask = 1 << 17;  // less is copied before another thread wakes
// Targets above this leave the last-level cache before anything reads them again: written past it,
// which saves reading the lines first. Below, writing past it is up to 1.4 times slower.
constexpr int64_t kStreamedBytes = 1 << 24;

struct Copy {
  const char* source;
  char* target;  // first row to write
  const int64_t* position;
  int64_t source_stride, target_stride, row_bytes;  // bytes

  // Rows [begin, end) of the target, which share no memory with the source.
  void rows(int64_t begin, int64_t end, bool stream) const {
    const bool aligned = (reinterpret_cast<uintptr_t>(target) | static_cast<uintptr_t>(row_bytes) |
                          static_cast<uintptr_t>(target_stride)) %
                             kStreamAlignment ==
                         0;
    tile_kernels().copy_rows(source, source_stride, position + begin, end - begin, row_bytes,
                             stream && aligned, target + begin * target_stride, target_stride);
  }

  // Ascending positions and a target in front of them: what is overwritten was read before.
  void rows_in_place(int64_t count) const {
    for (int64_t i = 0; i < count; ++i) {
      std::memmove(target + i * target_stride, source + position[i] * source_stride,
                   static_cast<size_t>(row_bytes));
    }
  }
};

void check_positions(const int64_t* position, int64_t count, int64_t num_rows) {
  const bool ends_fit = position[0] >= 0 && position[count - 1] < num_rows;
  int64_t descents = 0;
  for (int64_t i = 1; i < count; ++i) descents += position[i] <= position[i - 1] ? 1 : 0;
  if (ends_fit && descents == 0) return;
  int64_t wrong = 0;
  while (position[wrong] >= 0 && position[wrong] < num_rows &&
         (wrong == 0 || position[wrong] > position[wrong - 1])) {
    ++wrong;
  }
  expect(false, "positions", "ascending numbers in 0 .. " + std::to_string(num_rows - 1),
         std::to_string(position[wrong]));
}

Copy row_copy(const at::Tensor& source,  // [S, d], unit stride along d
              const at::Tensor& positions,
              const at::Tensor& target,
              int64_t target_offset) {
  const int64_t bytes = source.element_size();
  return {static_cast<const char*>(source.const_data_ptr()),
          static_cast<char*>(target.data_ptr()) + target_offset * target.stride(0) * bytes,
          positions.const_data_ptr<int64_t>(),
          source.stride(0) * bytes,
          target.stride(0) * bytes,
          source.size(1) * bytes};
}

}  // namespace

void compact_kv_cpu(const at::Tensor& source,
                    const at::Tensor& positions,
                    const at::Tensor& target,
                    int64_t target_offset) {
  const int64_t count = positions.size(0);
  if (count == 0 || source.size(1) == 0) return;
  const at::Tensor rows = with_unit_stride(source), index = positions.contiguous();
  const Copy copy = row_copy(rows, index, target, target_offset);
  check_positions(copy.position, count, source.size(0));
  if (source.is_alias_of(target)) {
    copy.rows_in_place(count);
    return;
  }
  const bool stream = count * copy.row_bytes >= kStreamedBytes;
  at::parallel_for(0, count, kBytesPerTask / copy.row_bytes + 1,
                   [&](int64_t begin, int64_t end) { copy.rows(begin, end, stream); });
}

void compact_layer_kv_cpu(const at::Tensor& source,
                          std::span<const at::Tensor> positions,
                          const at::Tensor& target,
                          std::span<const int64_t> target_offset) {
  const int64_t num_kv_heads = source.size(1), d = source.size(3), bytes = source.element_size();
  if (source.numel() == 0) return;
  const at::Tensor rows = with_unit_stride(source);
  std::vector<at::Tensor> held;  // contiguous copies of positions that were not
  std::vector<Copy> copies;
  std::vector<int64_t> first{0};  // of each copy's rows, counted over all copies
  held.reserve(positions.size());
  copies.reserve(positions.size());
  first.reserve(positions.size() + 1);
  const int64_t* checked = nullptr;
  for (size_t r = 0; r < positions.size(); ++r) {
    held.push_back(positions[r].contiguous());
    const auto row = static_cast<int64_t>(r);
    const int64_t* index = held.back().const_data_ptr<int64_t>();
    const int64_t count = held.back().size(0);
    // Rows often share one tensor of positions; it is checked once.
    if (count > 0 && index != checked) check_positions(index, count, source.size(2));
    checked = index;
    const int64_t start = row / num_kv_heads * rows.stride(0) + row % num_kv_heads * rows.stride(1);
    copies.push_back(
        {static_cast<const char*>(rows.const_data_ptr()) + start * bytes,
         static_cast<char*>(target.data_ptr()) + target_offset[r] * target.stride(0) * bytes, index,
         rows.stride(2) * bytes, target.stride(0) * bytes, d * bytes});
    first.push_back(first.back() + count);
  }
  const bool stream = first.back() * d * bytes >= kStreamedBytes;
  at::parallel_for(
      0, first.back(), kBytesPerTask / (d * bytes) + 1, [&](int64_t begin, int64_t end) {
        auto r = static_cast<size_t>(std::upper_bound(first.begin(), first.end(), begin) -
                                     first.begin() - 1);
        for (; begin < end; ++r) {
          const int64_t last = std::min(end, first[r + 1]);
          copies[r].rows(begin - first[r], last - first[r], stream);
          begin = last;
        }
      });
}

}  // namespace headscope::kernels
