// Plans of ragged attention: every KV row in parts of about equal length, then one merge.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <numeric>

#include "kernels/cuda_ops.h"
#include "kernels/cuda_plan.h"

namespace headscope::kernels {

std::optional<AttentionResult> ragged_attention_cuda(const KernelLauncher& launcher,
                                                     const at::Tensor& q,
                                                     const RaggedKv& kv,
                                                     double scale) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2), d = q.size(3);
  const auto num_rows = static_cast<int64_t>(kv.length.size());
  const int64_t num_kv_heads = num_rows / batch, packed = num_heads / num_kv_heads * n;
  if (!takes_head_dim(d) || kv.keys.size(0) > INT32_MAX || packed > INT16_MAX) return std::nullopt;
  const c10::DeviceGuard guard(q.device());
  AttentionResult result{at::empty({batch, num_heads, n, d}, q.options()),
                         at::empty({batch, num_heads, n}, q.options().dtype(at::kFloat))};
  if (q.numel() == 0) return result;
  const at::Tensor rows = readable_rows(q);
  const at::Tensor keys = readable_rows(kv.keys), values = readable_rows(kv.values);
  const AttentionTask task = attention_task(rows, keys, values, num_kv_heads, scale);
  const int64_t total = std::accumulate(kv.length.begin(), kv.length.end(), int64_t{0});
  const int64_t step = keys_per_part(launcher, total, packed);
  std::vector<Segment> segments;
  std::vector<int32_t> first;
  for (int64_t r = 0; r < num_rows; ++r) {
    const auto i = static_cast<size_t>(r);
    first.push_back(static_cast<int32_t>(segments.size()));
    const int64_t end = kv.offset[i] + kv.length[i];
    add_segments({static_cast<int32_t>(r), static_cast<int32_t>(kv.offset[i]),
                  static_cast<int32_t>(end), static_cast<int32_t>(end - n + 1)},
                 step, segments);
  }
  first.push_back(static_cast<int32_t>(segments.size()));
  const Parts parts = run_segments(launcher, task, segments, q.options());
  MergeTask merge{};
  merge.type = task.shape.type;
  merge.max = parts.max.const_data_ptr<float>();
  merge.sum = parts.sum.const_data_ptr<float>();
  merge.o = parts.o.const_data_ptr<float>();
  merge.packed_rows = static_cast<int>(packed);
  merge.d = static_cast<int>(d);
  merge.num_outputs = 1;
  merge.parts[0] = 1 << 30;  // all
  for (int64_t r = 0; r < num_rows; r += kMaxMergedRows) {
    const int64_t count = std::min<int64_t>(kMaxMergedRows, num_rows - r);
    merge.kv_rows = static_cast<int>(count);
    std::copy_n(first.begin() + r, count + 1, merge.first);
    merge.out = static_cast<char*>(result.z.data_ptr()) + r * packed * d * q.element_size();
    merge.lse = result.lse.data_ptr<float>() + r * packed;
    launcher.launch(merge);
  }
  return result;
}

}  // namespace headscope::kernels
