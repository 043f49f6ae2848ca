// Attention outputs at every budget from one read of the ranked keys: the rows' softmax state
// starts with the tail and grows band by band; at each cut it is the answer of that budget.
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {

at::Tensor error_curve_cpu(const at::Tensor& q,
                           const at::Tensor& k,
                           const at::Tensor& v,
                           double scale,
                           int64_t first_position,
                           const at::Tensor& order,
                           std::span<const int64_t> cuts,
                           int64_t tail_begin) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2), num_kv_heads = k.size(0);
  const int64_t rows_per_head = num_heads / num_kv_heads * n;
  const at::Tensor rows = float_queries(q);
  const at::Tensor keys = with_unit_stride(k), values = with_unit_stride(v);
  const at::Tensor ranked = order.contiguous();
  at::Tensor out = at::empty({static_cast<int64_t>(cuts.size()), num_heads, n, d}, rows.options());
  if (out.numel() == 0) return out;
  const float* q_data = rows.const_data_ptr<float>();
  const int64_t* order_data = ranked.const_data_ptr<int64_t>();
  float* out_data = out.data_ptr<float>();
  const KvType type = kv_type(keys);

  // Enough blocks for every thread, none wider than a reader's block.
  const int64_t wanted = (2 * at::get_num_threads() + num_kv_heads - 1) / num_kv_heads;
  const int64_t block_rows =
      std::clamp<int64_t>((rows_per_head + wanted - 1) / wanted,
                          std::min<int64_t>(16, rows_per_head), TileReader::most_rows(d, type));
  const int64_t blocks = (rows_per_head + block_rows - 1) / block_rows;
  struct Worker {
    TileReader reader;
    SoftmaxState state;
    std::vector<int64_t> end;
  };
  const auto make = [&] { return Worker{TileReader(d, type, block_rows), {}, {}}; };
  for_each_task(num_kv_heads * blocks, make, [&](int64_t t, Worker& worker) {
    const int64_t head = t / blocks, begin = t % blocks * block_rows;
    const int64_t count = std::min(block_rows, rows_per_head - begin);
    const int64_t first = head * rows_per_head + begin;
    KvRows kv_k = kv_rows(keys, head * keys.stride(0));
    KvRows kv_v = kv_rows(values, head * values.stride(0));
    worker.end.resize(static_cast<size_t>(count));
    for (int64_t r = 0; r < count; ++r) {
      worker.end[static_cast<size_t>(r)] = first_position + (begin + r) % n + 1;
    }
    worker.state.reset(count, d);
    worker.reader.set_rows(q_data + first * d, count, base2_scale(scale));
    worker.reader.attend(kv_k, &kv_v, tail_begin,
                         *std::max_element(worker.end.begin(), worker.end.end()),
                         {nullptr, worker.end.data()}, worker.state);
    kv_k.index = kv_v.index = order_data + head * ranked.size(1);
    int64_t done = 0;
    for (size_t c = 0; c < cuts.size(); ++c) {
      worker.reader.attend(kv_k, &kv_v, done, cuts[c], {}, worker.state);
      done = cuts[c];
      float* to = out_data + (static_cast<int64_t>(c) * num_heads * n + first) * d;
      for (int64_t r = 0; r < count; ++r) {
        const float inverse = 1.0f / worker.state.sum[static_cast<size_t>(r)];
        for (int64_t i = r * d; i < (r + 1) * d; ++i) {
          to[i] = worker.state.o[static_cast<size_t>(i)] * inverse;
        }
      }
    }
  });
  return out;
}

}  // namespace headscope::kernels
