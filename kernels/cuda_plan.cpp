#include "kernels/cuda_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace headscope::kernels {
namespace {

constexpr double kLog2OfE = 1.4426950408889634;
constexpr int64_t kLeastPartKeys = 128;
constexpr int64_t kBlocksPerMultiprocessor = 4;

// Whether all rows start at multiples of `numbers` numbers.
bool starts_at_multiples(const at::Tensor& t, int64_t numbers) {
  const auto bytes = static_cast<uintptr_t>(numbers * t.element_size());
  if (reinterpret_cast<uintptr_t>(t.const_data_ptr()) % bytes != 0) return false;
  for (int64_t i = 0; i + 1 < t.dim(); ++i) {
    if (t.size(i) > 1 && t.stride(i) % numbers != 0) return false;
  }
  return true;
}

int64_t stride_or_zero(const at::Tensor& t, int64_t from_end) {
  return t.dim() >= from_end ? t.stride(-from_end) : 0;
}

}  // namespace

ValueType value_type(const at::Tensor& t) {
  if (t.scalar_type() == at::kBFloat16) return ValueType::kBFloat16;
  return t.scalar_type() == at::kHalf ? ValueType::kFloat16 : ValueType::kFloat32;
}

bool takes_head_dim(int64_t d) {
  return d >= 4 && d <= kMostHeadDim && d % 4 == 0;
}

at::Tensor readable_rows(const at::Tensor& t) {
  if (t.stride(-1) == 1 && starts_at_multiples(t, 4)) return t;
  return t.clone(at::MemoryFormat::Contiguous);
}

RowsOf rows_of(const at::Tensor& t) {
  return {t.const_data_ptr(), stride_or_zero(t, 4), stride_or_zero(t, 3), t.stride(-2)};
}

TileShape tile_shape(std::span<const at::Tensor> tensors) {
  const int64_t d = tensors[0].size(-1), bytes = tensors[0].element_size();
  TileShape shape{};
  shape.type = value_type(tensors[0]);
  shape.d = static_cast<int>(d);
  shape.depth = (shape.d + kDepthStep - 1) / kDepthStep * kDepthStep;
  shape.stride = shape.depth + static_cast<int>(16 / bytes);
  const int64_t wide = 16 / bytes;
  shape.wide = d % wide == 0 && std::all_of(tensors.begin(), tensors.end(), [&](const auto& t) {
                 return starts_at_multiples(t, wide);
               });
  return shape;
}

int warp_tile_keys(const TileShape& shape) {
  return kWarpKeys * (shape.depth <= 128 ? 4 : 2);
}

int64_t keys_per_part(const KernelLauncher& launcher, int64_t total_keys, int64_t packed_rows) {
  const int64_t blocks = kBlocksPerMultiprocessor * launcher.num_multiprocessors();
  const int64_t row_blocks = packed_rows <= 32 ? (packed_rows + 15) / 16 : (packed_rows + 63) / 64;
  const int64_t keys = (total_keys * row_blocks + blocks - 1) / blocks;
  return std::max(kLeastPartKeys, (keys + 63) / 64 * 64);
}

void add_segments(const Segment& whole, int64_t keys, std::vector<Segment>& segments) {
  for (int64_t begin = whole.begin; begin < whole.end; begin += keys) {
    Segment part = whole;
    part.begin = static_cast<int32_t>(begin);
    part.end = static_cast<int32_t>(std::min<int64_t>(whole.end, begin + keys));
    segments.push_back(part);
  }
}

AttentionTask attention_task(const at::Tensor& q,
                             const at::Tensor& k,
                             const std::optional<at::Tensor>& v,
                             int64_t num_kv_heads,
                             double scale) {
  std::vector<at::Tensor> tensors{q, k};
  if (v) tensors.push_back(*v);
  AttentionTask task{};
  task.shape = tile_shape(tensors);
  task.q = rows_of(q);
  task.k = rows_of(k);
  if (v) task.v = rows_of(*v);
  task.num_kv_heads = static_cast<int>(num_kv_heads);
  task.group = static_cast<int>(q.size(-3) / num_kv_heads);
  task.n = static_cast<int>(q.size(-2));
  task.scale2 = static_cast<float>(scale * kLog2OfE);
  task.row_groups = task.group * task.n <= 32 ? 1 : kAttentionWarps;
  task.tile_keys = task.shape.depth * q.element_size() > 512 ? 32 : 64;
  return task;
}

Parts run_segments(const KernelLauncher& launcher,
                   AttentionTask task,
                   std::span<const Segment> segments,
                   const at::TensorOptions& options) {
  const auto all = static_cast<int64_t>(segments.size());
  const int64_t rows = int64_t{task.group} * task.n, d = task.shape.d;
  const auto floats = options.dtype(at::kFloat);
  Parts parts{at::empty({all, rows}, floats), at::empty({all, rows}, floats), {}};
  if (task.v.data != nullptr) parts.o = at::empty({all, rows, d}, floats);
  for (int64_t begin = 0; begin < all; begin += kMaxSegments) {
    const int64_t count = std::min<int64_t>(kMaxSegments, all - begin);
    task.num_segments = static_cast<int>(count);
    std::copy_n(segments.begin() + begin, count, task.segment);
    task.max = parts.max.data_ptr<float>() + begin * rows;
    task.sum = parts.sum.data_ptr<float>() + begin * rows;
    task.o = parts.o.defined() ? parts.o.data_ptr<float>() + begin * rows * d : nullptr;
    launcher.launch(task);
  }
  return parts;
}

at::Tensor row_lse_cuda(const KernelLauncher& launcher,
                        const at::Tensor& q,
                        const at::Tensor& k,
                        double scale,
                        int64_t first_position,
                        std::span<const int64_t> kv_heads) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2), num_kv_heads = k.size(1);
  const int64_t seen = first_position + n, packed = num_heads / num_kv_heads * n;
  at::Tensor lse = at::empty({batch, num_heads, n}, q.options().dtype(at::kFloat));
  if (lse.numel() == 0 || kv_heads.empty()) return lse;
  const at::Tensor rows = readable_rows(q), keys = readable_rows(k);
  const AttentionTask task = attention_task(rows, keys, std::nullopt, num_kv_heads, scale);
  const auto num_rows = batch * static_cast<int64_t>(kv_heads.size());
  const int64_t step = keys_per_part(launcher, num_rows * seen, packed);
  std::vector<Segment> segments;
  std::vector<int32_t> kv_rows;
  for (int64_t b = 0; b < batch; ++b) {
    for (const int64_t h : kv_heads) {
      kv_rows.push_back(static_cast<int32_t>(b * num_kv_heads + h));
      add_segments(
          {kv_rows.back(), 0, static_cast<int32_t>(seen), static_cast<int32_t>(first_position + 1)},
          step, segments);
    }
  }
  const Parts parts = run_segments(launcher, task, segments, q.options());
  MassTask mass{};
  mass.packed_rows = static_cast<int>(packed);
  mass.num_parts = static_cast<int>((seen + step - 1) / step);
  mass.out = lse.data_ptr<float>();
  for (size_t begin = 0; begin < kv_rows.size(); begin += kMaxMergedRows) {
    const size_t count = std::min<size_t>(kMaxMergedRows, kv_rows.size() - begin);
    mass.kv_rows = static_cast<int>(count);
    std::copy_n(kv_rows.begin() + static_cast<int64_t>(begin), count, mass.kv_row);
    const int64_t first = static_cast<int64_t>(begin) * mass.num_parts * packed;
    mass.max = parts.max.const_data_ptr<float>() + first;
    mass.sum = parts.sum.const_data_ptr<float>() + first;
    launcher.launch(mass);
  }
  return lse;
}

}  // namespace headscope::kernels
