// Plans of error curves: the tail and every band between two cuts in parts of about equal length;
// the merge puts out the state at each cut.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "kernels/cuda_ops.h"
#include "kernels/cuda_plan.h"

namespace headscope::kernels {

std::optional<at::Tensor> error_curve_cuda(const KernelLauncher& launcher,
                                           const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           double scale,
                                           int64_t first_position,
                                           const at::Tensor& order,
                                           std::span<const int64_t> cuts,
                                           int64_t tail_begin) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2), num_kv_heads = k.size(0);
  const int64_t packed = num_heads / num_kv_heads * n, tail_end = first_position + n;
  const auto num_cuts = static_cast<int64_t>(cuts.size());
  if (!takes_head_dim(d) || num_cuts > kMaxOutputs || num_kv_heads > kMaxMergedRows ||
      k.size(1) > INT32_MAX || packed > INT16_MAX) {
    return std::nullopt;
  }
  const c10::DeviceGuard guard(q.device());
  at::Tensor out = at::empty({num_cuts, num_heads, n, d}, q.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  const at::Tensor rows = readable_rows(q), keys = readable_rows(k), values = readable_rows(v);
  const at::Tensor ranked = order.stride(1) == 1 ? order : order.contiguous();
  AttentionTask task = attention_task(rows, keys, values, num_kv_heads, scale);
  task.order = ranked.const_data_ptr<int64_t>();
  task.order_stride = ranked.stride(0);
  task.order_end = tail_begin;
  const int64_t step =
      keys_per_part(launcher, num_kv_heads * (tail_end - tail_begin + cuts.back()), packed);
  MergeTask merge{};
  std::vector<Segment> segments;
  for (int32_t head = 0; head < num_kv_heads; ++head) {
    const size_t begin = segments.size();
    merge.first[head] = static_cast<int32_t>(begin);
    add_segments({head, static_cast<int32_t>(tail_begin), static_cast<int32_t>(tail_end),
                  static_cast<int32_t>(first_position + 1)},
                 step, segments);
    int64_t done = 0;
    for (size_t c = 0; c < cuts.size(); ++c) {
      add_segments({head, static_cast<int32_t>(done), static_cast<int32_t>(cuts[c]), -1}, step,
                   segments);
      done = cuts[c];
      merge.parts[c] = static_cast<int32_t>(segments.size() - begin);
    }
  }
  merge.first[num_kv_heads] = static_cast<int32_t>(segments.size());
  const Parts parts = run_segments(launcher, task, segments, q.options());
  merge.type = ValueType::kFloat32;
  merge.max = parts.max.const_data_ptr<float>();
  merge.sum = parts.sum.const_data_ptr<float>();
  merge.o = parts.o.const_data_ptr<float>();
  merge.packed_rows = static_cast<int>(packed);
  merge.d = static_cast<int>(d);
  merge.kv_rows = static_cast<int>(num_kv_heads);
  merge.out = out.data_ptr<float>();
  merge.num_outputs = static_cast<int>(num_cuts);
  launcher.launch(merge);
  return out;
}

}  // namespace headscope::kernels
