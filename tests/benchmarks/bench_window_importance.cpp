// Window scores of one layer from its keys and its last query rows, pooled, against
//   B0  every head: SnapKV as its followers run it (repeat_kv, product, masked softmax in float32,
//       sum or mean over the window, avg_pool1d: kvpress SnapKVPress, window 64);
//       chosen heads: CompressKV's update_kv up to its pooled scores (keys copied per chosen head)
//   B1  products on [Hkv, group * window, d] without repeat_kv or a mask tensor; with the
//       log-sum-exp known no softmax either, the keys whole or in blocks that stay in the cache
#include <ATen/ATen.h>

#include <limits>
#include <optional>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

constexpr int64_t kPoolingKernel = 5;
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Layer {
  LayerSize size;
  int64_t num_keys, window;
  std::vector<int64_t> heads;  // empty = all
  at::Tensor q, k, lse;        // lse undefined = not known
  kernels::WindowImportanceOptions options;

  [[nodiscard]] at::Tensor future() const {  // [w, w], true where a row must not look
    return at::ones({window, window}, at::kBool).triu(/*diagonal=*/1);
  }
  // [rows, S] -> pooled [rows, S - w] of scores already reduced.
  [[nodiscard]] static at::Tensor pooled(const at::Tensor& scores) {
    return at::avg_pool1d(scores.unsqueeze(0), {kPoolingKernel}, {1}, {kPoolingKernel / 2});
  }
  [[nodiscard]] at::Tensor reduced(const at::Tensor& weight) const {  // [H, w, n] -> [H, n]
    return options.reduction == kernels::WindowReduction::kMean ? weight.mean(1) : weight.sum(1);
  }

  [[nodiscard]] Results ours() const;
  [[nodiscard]] Results oracle() const;
  [[nodiscard]] Results peer_all() const;
  [[nodiscard]] Results peer_chosen() const;
  [[nodiscard]] at::Tensor products(at::ScalarType dtype, int64_t begin, int64_t end) const;
  [[nodiscard]] Results softmax_of_products(at::ScalarType dtype) const;
  [[nodiscard]] Results exp_of_products(at::ScalarType dtype, int64_t block) const;
};

Results Layer::ours() const {
  return {kernels::window_importance(q, k, size.scale(), heads, options,
                                     lse.defined() ? std::optional(lse) : std::nullopt)};
}

Results Layer::oracle() const {
  const at::Tensor keys = k.to(at::kDouble).repeat_interleave(size.group(), 1);
  at::Tensor logits = at::matmul(q.to(at::kDouble) * size.scale(), keys.transpose(2, 3));
  logits.slice(-1, num_keys - window).masked_fill_(future(), kMinusInfinity);
  const at::Tensor weight = logits.softmax(-1).slice(-1, 0, num_keys - window)[0];
  const at::Tensor all = pooled(reduced(weight));
  return {heads.empty() ? all : all.index_select(1, at::tensor(heads))};
}

Results Layer::peer_all() const {
  const at::Tensor keys = repeat_kv(k, size.group());
  at::Tensor weight =
      at::matmul(q, keys.transpose(2, 3)) / std::sqrt(static_cast<double>(size.head_dim));
  const at::Tensor mask = (at::ones_like(weight) * kMinusInfinity).triu(num_keys - window + 1);
  weight += mask;
  weight = weight.softmax(-1, at::kFloat).to(q.scalar_type()).slice(-1, 0, num_keys - window);
  return {pooled(reduced(weight[0]))};
}

Results Layer::peer_chosen() const {
  const at::Tensor head = at::tensor(heads);
  const at::Tensor keys = k.index({at::indexing::Slice(), head.floor_divide(size.group())});
  at::Tensor weight = at::matmul(q.index({at::indexing::Slice(), head}), keys.transpose(2, 3)) /
                      std::sqrt(static_cast<double>(size.head_dim));
  at::Tensor mask = at::full({window, window}, -1e4, weight.options());
  const at::Tensor position = at::arange(window);
  mask.masked_fill_(position < (position + 1).view({window, 1}), 0);
  weight.slice(-1, num_keys - window) += mask;
  weight = weight.softmax(-1, at::kFloat).to(q.scalar_type()).slice(-1, 0, num_keys - window);
  return {pooled(reduced(weight[0]))};
}

// Logits [heads, w, end - begin] of the wanted heads over a range of keys.
at::Tensor Layer::products(at::ScalarType dtype, int64_t begin, int64_t end) const {
  const at::Tensor keys = k[0].slice(1, begin, end).to(dtype).transpose(1, 2);
  const at::Tensor rows = q[0].to(dtype).mul(size.scale());
  if (heads.empty()) {
    const at::Tensor grouped = rows.reshape({size.num_kv_heads, size.group() * window, -1});
    return at::bmm(grouped, keys).view({size.num_query_heads, window, end - begin});
  }
  const auto count = static_cast<int64_t>(heads.size());
  at::Tensor logits = at::empty({count, window, end - begin}, keys.options());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = heads[static_cast<size_t>(i)];
    at::Tensor out = logits[i];
    at::mm_out(out, rows[head], keys[head / size.group()]);
  }
  return logits;
}

Results Layer::softmax_of_products(at::ScalarType dtype) const {
  const at::Tensor logits = products(dtype, 0, num_keys);
  logits.slice(-1, num_keys - window).masked_fill_(future(), kMinusInfinity);
  return {pooled(reduced(logits.softmax(-1, at::kFloat).slice(-1, 0, num_keys - window)))};
}

Results Layer::exp_of_products(at::ScalarType dtype, int64_t block) const {
  const int64_t prefix = num_keys - window;
  const at::Tensor row_lse =
      (heads.empty() ? lse[0] : lse[0].index_select(0, at::tensor(heads))).unsqueeze(-1);
  at::Tensor scores = at::empty({row_lse.size(0), prefix}, lse.options());
  for (int64_t begin = 0; begin < prefix; begin += block) {
    const int64_t end = std::min(prefix, begin + block);
    const at::Tensor logits = products(dtype, begin, end).to(at::kFloat);
    scores.slice(1, begin, end).copy_(reduced(logits.sub_(row_lse).exp_()));
  }
  return {pooled(scores)};
}

ComparedCase make_case(const LayerSize& size,
                       int64_t num_keys,
                       int64_t window,
                       at::ScalarType dtype,
                       bool lse_known,
                       const std::vector<int64_t>& heads) {
  at::manual_seed(11);
  Layer layer{size, num_keys, window, heads, {}, {}, {}, {}};
  layer.q = (at::randn({1, size.num_query_heads, window, size.head_dim}) * 2.0).to(dtype);
  layer.k = at::randn({1, size.num_kv_heads, num_keys, size.head_dim}).to(dtype);
  layer.options = {window == 64 ? kernels::WindowReduction::kMean : kernels::WindowReduction::kSum,
                   kernels::WindowPooling::kAverage, kPoolingKernel};
  if (lse_known) {
    at::Tensor logits =
        at::matmul(layer.q.to(at::kDouble) * size.scale(),
                   repeat_kv(layer.k, size.group()).to(at::kDouble).transpose(2, 3));
    logits.slice(-1, num_keys - window).masked_fill_(layer.future(), kMinusInfinity);
    layer.lse = logits.logsumexp({-1}).to(at::kFloat);
  }
  const double num_rows = static_cast<double>(window) *
                          static_cast<double>(heads.empty() ? size.num_query_heads
                                                            : static_cast<int64_t>(heads.size()));
  // Logits rounded to 16 bits are wrong by half a unit in the last place of numbers up to 16.
  const double rounded = dtype == at::kFloat ? 1e-4 : dtype == at::kHalf ? 0.02 : 0.12;
  ComparedCase c{
      .op = "window_importance",
      .name = std::string(size.name) + ", " + std::to_string(num_keys) + " keys, window " +
              std::to_string(window) + ", " +
              (heads.empty() ? "all heads" : std::to_string(heads.size()) + " heads") +
              (lse_known ? ", log-sum-exp known" : ""),
      .dtype = dtype,
      .ours = {"ours", [layer] { return layer.ours(); }, 1e-4},
      .peer = {{"the peer's sequence",
                [layer] { return layer.heads.empty() ? layer.peer_all() : layer.peer_chosen(); },
                rounded}},
      .compositions = {},
      .oracle = [layer] { return layer.oracle(); },
      .work = {.flops = 2.0 * num_rows * static_cast<double>(num_keys * size.head_dim),
               .bytes = static_cast<double>(layer.k.nbytes())},
      .canonical = {}};
  for (const at::ScalarType type :
       dtype == at::kFloat ? std::vector{at::kFloat} : std::vector{dtype, at::kFloat}) {
    const double allowed = type == dtype ? rounded : 1e-4;
    if (!lse_known) {
      c.compositions.push_back({"softmax of products",
                                [layer, type] { return layer.softmax_of_products(type); },
                                allowed});
      continue;
    }
    for (const int64_t block : {num_keys, int64_t{2048}}) {
      c.compositions.push_back({"exp of products",
                                [layer, type, block] { return layer.exp_of_products(type, block); },
                                allowed});
    }
  }
  return c;
}

}  // namespace

std::vector<Row> benchmark_window_importance(const Options& options, const Roofs& roofs) {
  const std::vector<int64_t> four{1, 9, 10, 30}, two{0, 5};
  std::vector<Row> rows;
  if (options.check_only) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      for (const bool lse_known : {false, true}) {
        check_case(make_case(kSmall, 300, 8, dtype, lse_known, {}));
        check_case(make_case(kSmall, 300, 64, dtype, lse_known, two));
      }
    }
    return rows;
  }
  const auto time = [&](const LayerSize& size, int64_t keys, int64_t window, at::ScalarType dtype,
                        bool known, const std::vector<int64_t>& heads) {
    rows.push_back(time_case(make_case(size, keys, window, dtype, known, heads), options, roofs));
  };
  for (const bool known : {false, true}) {
    for (const int64_t keys : {8192, 32768}) {
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
        time(kLlama, keys, 8, dtype, known, {});
      }
      time(kSmol, keys, 8, at::kFloat, known, {});
      time(kLlama, keys, 8, at::kFloat, known, four);
      time(kLlama, keys, 8, at::kBFloat16, known, four);
    }
    time(kLlama, 8192, 64, at::kFloat, known, {});
    time(kLlama, 8192, 64, at::kBFloat16, known, {});
  }
  return rows;
}

}  // namespace headscope::benchmarks
