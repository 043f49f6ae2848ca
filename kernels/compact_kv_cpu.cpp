// Row copies of kept positions: neighbours move as one block.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstring>
#include <string>

#include "kernels/cpu_ops.h"
#include "kernels/tensor_check.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

struct Copy {
  const char* source;
  char* target;  // first row to write
  const int64_t* position;
  int64_t source_stride, target_stride, row_bytes;  // bytes

  void rows(int64_t begin, int64_t end) const {
    const bool dense = source_stride == row_bytes && target_stride == row_bytes;
    for (int64_t i = begin; i < end;) {
      int64_t run = 1;
      while (dense && i + run < end && position[i + run] == position[i] + run) ++run;
      // Ascending positions and a target in front of them: what is overwritten was read before.
      std::memmove(target + i * target_stride, source + position[i] * source_stride,
                   static_cast<size_t>(run * row_bytes));
      i += run;
    }
  }
};

constexpr int64_t kBytesPerTask = 1 << 18;

}  // namespace

void compact_kv_cpu(const at::Tensor& source,
                    const at::Tensor& positions,
                    const at::Tensor& target,
                    int64_t target_offset) {
  const int64_t count = positions.size(0), bytes = source.element_size();
  if (count == 0 || source.size(1) == 0) return;
  const at::Tensor rows = with_unit_stride(source), index = positions.contiguous();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t* at = index.const_data_ptr<int64_t>() + i;
    const bool ascends = i == 0 ? *at >= 0 : at[0] > at[-1];
    expect(ascends && *at < source.size(0), "positions",
           "ascending numbers in 0 .. " + std::to_string(source.size(0) - 1), std::to_string(*at));
  }
  const Copy copy{static_cast<const char*>(rows.const_data_ptr()),
                  static_cast<char*>(target.data_ptr()) + target_offset * target.stride(0) * bytes,
                  index.const_data_ptr<int64_t>(),
                  rows.stride(0) * bytes,
                  target.stride(0) * bytes,
                  source.size(1) * bytes};
  if (source.is_alias_of(target)) {
    copy.rows(0, count);  // possibly in place: strictly front to back
    return;
  }
  at::parallel_for(0, count, kBytesPerTask / copy.row_bytes + 1,
                   [&](int64_t begin, int64_t end) { copy.rows(begin, end); });
}

}  // namespace headscope::kernels
