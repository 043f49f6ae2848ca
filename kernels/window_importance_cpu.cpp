// Scores of SnapKV (arXiv 2404.14469) and CompressKV (2508.02401): one pass over the keys where the
// log-sum-exp of the window rows is known, two where it is not. Logits live in registers only.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kChunkKeys = 512;  // keys of one task; a multiple of kTileKeys

// The asked query heads that read one KV head.
struct HeadGroup {
  int64_t kv_head = 0;
  std::vector<int64_t> head;
  std::vector<int64_t> slot;  // where each head's scores go
};

std::vector<HeadGroup> group_heads(std::span<const int64_t> heads,
                                   int64_t num_heads,
                                   int64_t num_kv_heads) {
  const int64_t group = num_heads / num_kv_heads;
  std::vector<HeadGroup> all(static_cast<size_t>(num_kv_heads));
  const int64_t count = heads.empty() ? num_heads : static_cast<int64_t>(heads.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = heads.empty() ? i : heads[static_cast<size_t>(i)];
    HeadGroup& g = all[static_cast<size_t>(head / group)];
    g.kv_head = head / group;
    g.head.push_back(head);
    g.slot.push_back(i);
  }
  std::erase_if(all, [](const HeadGroup& g) { return g.head.empty(); });
  return all;
}

// Base-2 log-sum-exp of the window rows of the grouped heads, [B, Hq, w]; other rows are left
// alone.
at::Tensor window_lse(const at::Tensor& rows,  // base2_queries [B, Hq, w, d]
                      const at::Tensor& keys,
                      const std::vector<HeadGroup>& groups) {
  const int64_t batch = rows.size(0), num_heads = rows.size(1), w = rows.size(2), d = rows.size(3);
  const int64_t num_keys = keys.size(2), prefix = num_keys - w;
  at::Tensor lse = at::empty({batch, num_heads, w}, rows.options());
  const float* q = rows.const_data_ptr<float>();
  float* out = lse.data_ptr<float>();
  struct Worker {
    TileReader reader;
    SoftmaxState state;
    std::vector<float> q;
    std::vector<int64_t> end;
  };
  const auto num_groups = static_cast<int64_t>(groups.size());
  const int64_t splits =
      std::clamp<int64_t>(2 * at::get_num_threads() / std::max<int64_t>(1, batch * num_groups), 1,
                          std::max<int64_t>(1, num_keys / kChunkKeys));
  const int64_t tasks = batch * num_groups * splits;
  std::vector<SoftmaxState> partial(static_cast<size_t>(tasks));
  int64_t most_rows = 1;
  for (const HeadGroup& g : groups) {
    most_rows = std::max(most_rows, w * static_cast<int64_t>(g.head.size()));
  }
  const auto make = [&] { return Worker{TileReader(d, most_rows), {}, {}, {}}; };
  for_each_task(tasks, make, [&](int64_t t, Worker& worker) {
    const HeadGroup& g = groups[static_cast<size_t>(t / splits % num_groups)];
    const int64_t b = t / splits / num_groups, s = t % splits;
    const int64_t count = w * static_cast<int64_t>(g.head.size());
    worker.q.resize(static_cast<size_t>(count * d));
    worker.end.resize(static_cast<size_t>(count));
    for (size_t i = 0; i < g.head.size(); ++i) {
      const float* from = q + (b * num_heads + g.head[i]) * w * d;
      std::copy_n(from, w * d, worker.q.data() + static_cast<int64_t>(i) * w * d);
    }
    for (int64_t r = 0; r < count; ++r) worker.end[static_cast<size_t>(r)] = prefix + r % w + 1;
    SoftmaxState& state = partial[static_cast<size_t>(t)];
    state.reset(count, 0);
    const KvRows kv = kv_rows(keys, b * keys.stride(0) + g.kv_head * keys.stride(1));
    worker.reader.attend(worker.q.data(), count, kv, nullptr, kv_type(keys), num_keys * s / splits,
                         num_keys * (s + 1) / splits, {nullptr, worker.end.data()}, state);
  });
  for (int64_t t = 0; t < tasks; t += splits) {
    const HeadGroup& g = groups[static_cast<size_t>(t / splits % num_groups)];
    const int64_t b = t / splits / num_groups;
    SoftmaxState& state = partial[static_cast<size_t>(t)];
    const int64_t count = w * static_cast<int64_t>(g.head.size());
    for (int64_t s = 1; s < splits; ++s) {
      merge_states(state, partial[static_cast<size_t>(t + s)], count, 0);
    }
    for (int64_t r = 0; r < count; ++r) {
      const auto i = static_cast<size_t>(r);
      out[(b * num_heads + g.head[static_cast<size_t>(r / w)]) * w + r % w] = base2_lse(state, i);
    }
  }
  return lse;
}

// out[j] = pooled in[j - half .. j + half], zero outside.
void pool_row(const float* in, int64_t n, WindowPooling pooling, int64_t kernel, float* out) {
  const int64_t half = kernel / 2;
  std::vector<float> padded(static_cast<size_t>(n + 2 * half), 0.0f);
  std::copy_n(in, n, padded.data() + half);
  std::copy_n(padded.data(), n, out);
  for (int64_t t = 1; t < kernel; ++t) {
    const float* shifted = padded.data() + t;
    if (pooling == WindowPooling::kAverage) {
      for (int64_t j = 0; j < n; ++j) out[j] += shifted[j];
    } else {
      for (int64_t j = 0; j < n; ++j) out[j] = shifted[j] > out[j] ? shifted[j] : out[j];
    }
  }
  if (pooling == WindowPooling::kAverage) {
    const float divisor = static_cast<float>(kernel);
    for (int64_t j = 0; j < n; ++j) out[j] /= divisor;
  }
}

}  // namespace

at::Tensor window_importance_cpu(const at::Tensor& q,
                                 const at::Tensor& k,
                                 double scale,
                                 std::span<const int64_t> heads,
                                 const WindowImportanceOptions& options,
                                 const std::optional<at::Tensor>& lse) {
  const int64_t batch = q.size(0), num_heads = q.size(1), w = q.size(2), d = q.size(3);
  const int64_t prefix = k.size(2) - w;
  const std::vector<HeadGroup> groups = group_heads(heads, num_heads, k.size(1));
  const at::Tensor keys = with_unit_stride(k);
  const at::Tensor rows = base2_queries(q, scale);
  const at::Tensor row_lse = lse ? lse->mul(kLog2E).contiguous() : window_lse(rows, keys, groups);
  const int64_t num_out = heads.empty() ? num_heads : static_cast<int64_t>(heads.size());
  at::Tensor out = at::empty({batch, num_out, prefix}, rows.options());
  if (out.numel() == 0) return out;

  const int64_t chunks = (prefix + kChunkKeys - 1) / kChunkKeys;
  const auto num_groups = static_cast<int64_t>(groups.size());
  const float* q_data = rows.const_data_ptr<float>();
  const float* lse_data = row_lse.const_data_ptr<float>();
  float* out_data = out.data_ptr<float>();
  for_each_task(
      batch * num_groups * chunks, [&] { return TileReader(d, 1); },
      [&](int64_t t, TileReader& reader) {
        const HeadGroup& g = groups[static_cast<size_t>(t / chunks % num_groups)];
        const int64_t b = t / chunks / num_groups, begin = t % chunks * kChunkKeys;
        const int64_t end = std::min(prefix, begin + kChunkKeys);
        const KvRows kv = kv_rows(keys, b * keys.stride(0) + g.kv_head * keys.stride(1));
        for (int64_t tile = begin; tile < end; tile += kTileKeys) {
          const int64_t count = std::min(kTileKeys, end - tile);
          const float* panels = reader.panels(kv, kv_type(keys), tile, count);
          for (size_t i = 0; i < g.head.size(); ++i) {
            const int64_t row = (b * num_heads + g.head[i]) * w;
            reader.kernels().window_scores(q_data + row * d, w, d, panels, count, lse_data + row,
                                           options.reduction == WindowReduction::kSquare,
                                           out_data + (b * num_out + g.slot[i]) * prefix + tile);
          }
        }
      });
  if (options.reduction == WindowReduction::kMean) out.div_(static_cast<double>(w));
  if (options.pooling == WindowPooling::kNone || options.pooling_kernel == 1) return out;
  at::Tensor pooled = at::empty_like(out);
  float* pooled_data = pooled.data_ptr<float>();
  at::parallel_for(0, batch * num_out, 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      pool_row(out_data + r * prefix, prefix, options.pooling, options.pooling_kernel,
               pooled_data + r * prefix);
    }
  });
  return pooled;
}

}  // namespace headscope::kernels
