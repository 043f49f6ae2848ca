// Kept keys and values of one layer, its window included, moved to new storage, against
//   B0  gather with an expanded index and cat with the window, as CompressKV's update_kv
//   B1  index_select: along the positions, per head into place, or over all heads' rows at once
// and the whole of update_kv (scores of four heads, their mean, selection, compaction) beside ours.
#include <ATen/ATen.h>

#include <array>

#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

constexpr int64_t kWindow = 8;

struct Cache {
  LayerSize size;
  int64_t num_keys, kept;       // kept: before the window
  at::Tensor k, v;              // [Hkv, S, d]
  at::Tensor batch_k, batch_v;  // the same as [1, Hkv, S, d]
  at::Tensor past;              // [kept] best first
  at::Tensor positions;         // [kept + w] ascending

  Cache(const LayerSize& layer, int64_t keys, int64_t count, at::ScalarType dtype)
      : size(layer), num_keys(keys), kept(count) {
    at::manual_seed(13);
    k = at::randn({size.num_kv_heads, keys, size.head_dim}).to(dtype);
    v = at::randn({size.num_kv_heads, keys, size.head_dim}).to(dtype);
    batch_k = k.unsqueeze(0);
    batch_v = v.unsqueeze(0);
    past = std::get<1>(heavy_tailed_scores(1, keys - kWindow)[0].topk(kept));
    positions = at::cat({std::get<0>(past.sort()), at::arange(keys - kWindow, keys)});
  }

  // [Hkv * (kept + w), d], as the compressed cache holds them.
  [[nodiscard]] Results ours() const {
    const int64_t count = positions.size(0);
    const std::vector<at::Tensor> of_head(static_cast<size_t>(size.num_kv_heads), positions);
    std::vector<int64_t> offset;
    for (int64_t h = 0; h < size.num_kv_heads; ++h) offset.push_back(h * count);
    Results out;
    for (const at::Tensor& t : {batch_k, batch_v}) {
      out.push_back(at::empty({size.num_kv_heads * count, size.head_dim}, t.options()));
      kernels::compact_layer_kv(t, of_head, out.back(), offset);
    }
    return out;
  }
  // Best first, the window behind: sorted_rows() takes the order away.
  [[nodiscard]] Results peer() const {
    const at::Tensor index =
        past.view({1, 1, kept, 1}).expand({1, size.num_kv_heads, kept, size.head_dim});
    Results out;
    for (const at::Tensor& t : {k, v}) {
      const at::Tensor all = t.unsqueeze(0);
      out.push_back(at::cat(
          {all.slice(2, 0, num_keys - kWindow).gather(2, index), all.slice(2, num_keys - kWindow)},
          2)[0]);
    }
    return out;
  }
  [[nodiscard]] Results along_positions() const {
    return {k.index_select(1, positions), v.index_select(1, positions)};
  }
  [[nodiscard]] Results into_place() const {
    Results out;
    for (const at::Tensor& t : {k, v}) {
      out.push_back(at::empty({size.num_kv_heads, positions.size(0), size.head_dim}, t.options()));
      for (int64_t h = 0; h < size.num_kv_heads; ++h) {
        at::Tensor target = out.back()[h];
        at::index_select_out(target, t[h], 0, positions);
      }
    }
    return out;
  }
  [[nodiscard]] Results over_all_rows() const {
    const at::Tensor first = at::arange(0, size.num_kv_heads * num_keys, num_keys);
    const at::Tensor rows = (first.unsqueeze(1) + positions).flatten();
    Results out;
    for (const at::Tensor& t : {k, v}) {
      out.push_back(t.flatten(0, 1).index_select(0, rows).view(
          {size.num_kv_heads, positions.size(0), size.head_dim}));
    }
    return out;
  }
};

// A KV head's rows in a fixed order, whatever order a way keeps them in: sorted by their first
// element.
at::Tensor sorted_rows(const LayerSize& size, const at::Tensor& kept) {
  const at::Tensor rows = kept.reshape({size.num_kv_heads, -1, size.head_dim});
  const at::Tensor order = std::get<1>(rows.select(-1, 0).to(at::kDouble).sort(/*stable=*/true, 1));
  return rows.gather(1, order.unsqueeze(-1).expand(rows.sizes())).select(-1, 0);
}

ComparedCase make_case(const LayerSize& size, int64_t keys, int64_t kept, at::ScalarType dtype) {
  const Cache cache(size, keys, kept, dtype);
  return {
      .op = "compact_kv",
      .name = std::string(size.name) + ", " + std::to_string(kept) + " of " + std::to_string(keys) +
              " and the window",
      .dtype = dtype,
      .ours = {"ours", [cache] { return cache.ours(); }},
      .peer = {{"gather and cat", [cache] { return cache.peer(); }}},
      .compositions = {{"index_select along positions",
                        [cache] { return cache.along_positions(); }},
                       {"index_select into place", [cache] { return cache.into_place(); }},
                       {"index_select over all rows", [cache] { return cache.over_all_rows(); }}},
      .oracle = [cache] { return cache.along_positions(); },
      // Read and written, keys and values.
      .work = {.flops = 0.0,
               .bytes = 4.0 * static_cast<double>(size.num_kv_heads * cache.positions.size(0) *
                                                  size.head_dim * cache.k.element_size())},
      .canonical = [size](const at::Tensor& rows) { return sorted_rows(size, rows); }};
}

// From the prompt's keys to the kept ones.
struct Eviction {
  Cache cache;
  std::vector<int64_t> heads;
  at::Tensor q;    // [1, Hq, w, d]
  at::Tensor lse;  // [1, Hq, w]

  Eviction(const LayerSize& size, int64_t keys, int64_t kept, std::vector<int64_t> chosen)
      : cache(size, keys, kept, at::kFloat), heads(std::move(chosen)) {
    q = at::randn({1, size.num_query_heads, kWindow, size.head_dim}) * 2.0;
    lse = kernels::row_lse_aten(q[0], cache.k, size.scale(), keys - kWindow).unsqueeze(0);
  }
  [[nodiscard]] Results ours() const {
    const at::Tensor scores = kernels::window_importance(
        q, cache.k.unsqueeze(0), cache.size.scale(), heads,
        {kernels::WindowReduction::kSum, kernels::WindowPooling::kAverage, 5}, lse);
    const std::array<int64_t, 1> count{cache.kept};
    Cache moved = cache;
    moved.positions =
        at::cat({kernels::select_retained(scores[0].mean(0, /*keepdim=*/true), count)[0],
                 at::arange(cache.num_keys - kWindow, cache.num_keys)});
    return moved.ours();
  }
  [[nodiscard]] Results with(const std::function<at::Tensor(at::Tensor)>& weight_of,
                             bool sorted,
                             const std::function<Results(const Cache&)>& move) const {
    const at::Tensor head = at::tensor(heads);
    const at::Tensor keys =
        cache.k.unsqueeze(0).index({at::indexing::Slice(), head.floor_divide(cache.size.group())});
    const at::Tensor logits =
        at::matmul(q.index({at::indexing::Slice(), head}), keys.transpose(2, 3)) *
        cache.size.scale();
    const at::Tensor scores = at::avg_pool1d(weight_of(logits).sum(2), {5}, {1}, {2}).mean(1);
    Cache moved = cache;
    moved.past = std::get<1>(scores[0].topk(cache.kept, -1, /*largest=*/true, sorted));
    moved.positions = at::cat({moved.past, at::arange(cache.num_keys - kWindow, cache.num_keys)});
    return move(moved);
  }
  [[nodiscard]] Results peer() const {
    const auto masked_softmax = [&](at::Tensor logits) {
      logits.slice(-1, cache.num_keys - kWindow) +=
          at::full({kWindow, kWindow}, -1e4).triu(/*diagonal=*/1);
      return logits.softmax(-1, at::kFloat).slice(-1, 0, cache.num_keys - kWindow);
    };
    return with(masked_softmax, /*sorted=*/true, [](const Cache& c) { return c.peer(); });
  }
  [[nodiscard]] Results strong() const {
    const at::Tensor row_lse = lse.index_select(1, at::tensor(heads)).unsqueeze(-1);
    const auto weight_of = [&](at::Tensor logits) {
      return logits.slice(-1, 0, cache.num_keys - kWindow).sub_(row_lse).exp_();
    };
    return with(weight_of, /*sorted=*/false, [](const Cache& c) { return c.over_all_rows(); });
  }
};

ComparedCase make_whole_case(const LayerSize& size, int64_t keys, int64_t kept) {
  const Eviction eviction(
      size, keys, kept,
      size.group() > 3 ? std::vector<int64_t>{1, 9, 10, 30} : std::vector<int64_t>{0, 1, 2, 5});
  const auto read = static_cast<double>(eviction.cache.k.nbytes());
  return {.op = "compact_kv",
          .name = std::string(size.name) + ", whole eviction (CompressKV update_kv): scores of 4 " +
                  "heads, " + std::to_string(kept) + " of " + std::to_string(keys) + " kept",
          .dtype = at::kFloat,
          .ours = {"ours", [eviction] { return eviction.ours(); }},
          .peer = {{"update_kv", [eviction] { return eviction.peer(); }}},
          .compositions = {{"strong composition", [eviction] { return eviction.strong(); }}},
          .oracle = [eviction] { return eviction.strong(); },
          .work = {.flops = 0.0,
                   .bytes = read * 4.0 / static_cast<double>(size.num_query_heads) +
                            read * 4.0 * static_cast<double>(kept + kWindow) /
                                static_cast<double>(keys)},
          .canonical = [size](const at::Tensor& rows) { return sorted_rows(size, rows); }};
}

}  // namespace

std::vector<Row> benchmark_compact_kv(const Options& options, const Roofs& roofs) {
  std::vector<Row> rows;
  if (options.check_only) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      check_case(make_case(kSmall, 700, 100, dtype));
    }
    check_case(make_whole_case(kSmall, 700, 100));
    return rows;
  }
  for (const LayerSize& size : {kLlama, kSmol}) {
    for (const int64_t keys : {8192, 32768}) {
      for (const int64_t kept : {256, 1024, 4096}) {
        for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
          rows.push_back(time_case(make_case(size, keys, kept, dtype), options, roofs));
        }
      }
      rows.push_back(time_case(make_whole_case(size, keys, 1024), options, roofs));
    }
  }
  return rows;
}

}  // namespace headscope::benchmarks
