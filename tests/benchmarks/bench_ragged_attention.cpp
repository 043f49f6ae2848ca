// One decode step of a layer over a compressed cache: the new token's key and value appended, then
// attention, against
//   B0  HeadKV's way: a flat cache of every query head (keys of a group repeated), laid out anew
//       with the token inserted (update_flatten_view), then one attention per head of its own
//       length
//   B1  a cache allocated once: LibTorch's attention with grouped heads, or products and softmax on
//       [Hkv, group, k]; where lengths differ, one call per KV head or one padded call with a mask
// `repeat_kv`: transformers' eager step (cat, repeat_kv, two products) over the same keys.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Step {
  LayerSize size;
  bool even;                    // every head keeps as much
  std::vector<int64_t> length;  // [Hkv], the new token included
  int64_t longest = 0;
  kernels::RaggedKv kv;
  at::Tensor slot;                         // [Hkv] where the new token goes
  at::Tensor q;                            // [1, Hq, 1, d]
  at::Tensor new_k, new_v;                 // [Hkv, d]
  at::Tensor padded_k, padded_v;           // [1, Hkv, longest, d]
  at::Tensor mask;                         // [1, Hkv, 1, longest], -inf behind a head's length
  std::vector<at::Tensor> flat_k, flat_v;  // per query head [length - 1, d]

  Step(const LayerSize& layer, std::vector<int64_t> lengths, at::ScalarType dtype);

  [[nodiscard]] at::Tensor kept(const at::Tensor& flat, int64_t head) const {
    const auto h = static_cast<size_t>(head);
    return flat.narrow(0, kv.offset[h], kv.length[h]);
  }
  [[nodiscard]] at::Tensor of_group(const at::Tensor& t, int64_t head) const {
    return t.narrow(1, head * size.group(), size.group());
  }
  void append_flat() const {
    at::Tensor k = kv.keys, v = kv.values;
    k.index_copy_(0, slot, new_k);
    v.index_copy_(0, slot, new_v);
  }
  void append_padded() const {
    at::Tensor k = padded_k, v = padded_v;
    for (int64_t h = 0; h < size.num_kv_heads; ++h) {
      const int64_t last = length[static_cast<size_t>(h)] - 1;
      k[0][h][last].copy_(new_k[h]);
      v[0][h][last].copy_(new_v[h]);
    }
  }

  [[nodiscard]] Results ours() const {
    append_flat();
    return {kernels::ragged_attention(q, kv, size.scale()).z};
  }
  [[nodiscard]] Results oracle() const;
  [[nodiscard]] Results head_flat() const;
  [[nodiscard]] Results eager_repeat() const;
  [[nodiscard]] Results grouped_sdpa() const;
  [[nodiscard]] Results grouped_products() const;
  [[nodiscard]] Results sdpa_per_head() const;
};

Step::Step(const LayerSize& layer, std::vector<int64_t> lengths, at::ScalarType dtype)
    : size(layer), length(std::move(lengths)) {
  at::manual_seed(14);
  const int64_t d = size.head_dim;
  longest = *std::max_element(length.begin(), length.end());
  even = longest == *std::min_element(length.begin(), length.end());
  std::vector<int64_t> last;
  int64_t slots = 0;
  for (const int64_t n : length) {
    kv.offset.push_back(slots);
    kv.length.push_back(n);
    last.push_back(slots + n - 1);
    slots += n + 8;  // slack
  }
  kv.keys = at::randn({slots, d}).to(dtype);
  kv.values = at::randn({slots, d}).to(dtype);
  slot = at::tensor(last);
  q = (at::randn({1, size.num_query_heads, 1, d}) * 2.0).to(dtype);
  new_k = at::randn({size.num_kv_heads, d}).to(dtype);
  new_v = at::randn({size.num_kv_heads, d}).to(dtype);
  append_flat();
  padded_k = at::zeros({1, size.num_kv_heads, longest, d}, q.options());
  padded_v = at::zeros_like(padded_k);
  mask = at::zeros({1, size.num_kv_heads, 1, longest}, q.options());
  for (int64_t h = 0; h < size.num_kv_heads; ++h) {
    const int64_t n = length[static_cast<size_t>(h)];
    padded_k[0][h].narrow(0, 0, n).copy_(kept(kv.keys, h));
    padded_v[0][h].narrow(0, 0, n).copy_(kept(kv.values, h));
    mask[0][h].slice(1, n).fill_(kMinusInfinity);
    for (int64_t g = 0; g < size.group(); ++g) {
      flat_k.push_back(kept(kv.keys, h).narrow(0, 0, n - 1).clone());
      flat_v.push_back(kept(kv.values, h).narrow(0, 0, n - 1).clone());
    }
  }
}

Results Step::oracle() const {
  std::vector<at::Tensor> z;
  for (int64_t h = 0; h < size.num_kv_heads; ++h) {
    const at::Tensor keys = kept(kv.keys, h).to(at::kDouble);
    const at::Tensor logits = at::matmul(of_group(q, h).to(at::kDouble), keys.t()) * size.scale();
    z.push_back(at::matmul(logits.softmax(-1), kept(kv.values, h).to(at::kDouble)));
  }
  return {at::cat(z, 1)};
}

Results Step::head_flat() const {
  const auto insert = [&](const std::vector<at::Tensor>& flat, const at::Tensor& token) {
    std::vector<at::Tensor> pieces;
    for (size_t h = 0; h < flat.size(); ++h) {
      pieces.push_back(flat[h]);
      pieces.push_back(token.narrow(0, static_cast<int64_t>(h) / size.group(), 1));
    }
    return at::cat(pieces);
  };
  const at::Tensor keys = insert(flat_k, new_k), values = insert(flat_v, new_v);
  const int64_t d = size.head_dim;
  if (even) {  // one varlen call over heads of one length
    const std::vector<int64_t> shape{size.num_query_heads, 1, longest, d};
    return {at::scaled_dot_product_attention(q.transpose(0, 1), keys.view(shape),
                                             values.view(shape), {}, 0.0, false, size.scale())
                .transpose(0, 1)};
  }
  std::vector<at::Tensor> z;
  int64_t begin = 0;
  for (int64_t h = 0; h < size.num_query_heads; ++h) {
    const int64_t n = length[static_cast<size_t>(h / size.group())];
    const auto head = [&](const at::Tensor& t) { return t.narrow(0, begin, n).view({1, 1, n, d}); };
    z.push_back(at::scaled_dot_product_attention(q.narrow(1, h, 1), head(keys), head(values), {},
                                                 0.0, false, size.scale()));
    begin += n;
  }
  return {at::cat(z, 1)};
}

Results Step::eager_repeat() const {
  const auto grown = [&](const at::Tensor& past, const at::Tensor& token) {
    return repeat_kv(
        at::cat({past.narrow(2, 0, longest - 1), token.view({1, -1, 1, size.head_dim})}, 2),
        size.group());
  };
  const at::Tensor keys = grown(padded_k, new_k), values = grown(padded_v, new_v);
  const at::Tensor weight = (at::matmul(q, keys.transpose(2, 3)) * size.scale())
                                .softmax(-1, at::kFloat)
                                .to(q.scalar_type());
  return {at::matmul(weight, values)};
}

Results Step::grouped_sdpa() const {
  append_padded();
  return {at::scaled_dot_product_attention(
      q, padded_k, padded_v,
      even ? std::nullopt : std::optional(mask.repeat_interleave(size.group(), 1)), 0.0, false,
      size.scale(), /*enable_gqa=*/true)};
}

Results Step::grouped_products() const {
  append_padded();
  const at::Tensor rows = q.view({size.num_kv_heads, size.group(), size.head_dim});
  at::Tensor logits = at::bmm(rows, padded_k[0].transpose(1, 2)).mul_(size.scale());
  if (!even) logits.add_(mask[0]);
  return {at::bmm(logits.softmax(-1), padded_v[0]).view(q.sizes())};
}

Results Step::sdpa_per_head() const {
  append_flat();
  std::vector<at::Tensor> z;
  for (int64_t h = 0; h < size.num_kv_heads; ++h) {
    const auto head = [&](const at::Tensor& t) {
      return kept(t, h).unsqueeze(0).unsqueeze(0).expand({1, size.group(), -1, -1});
    };
    z.push_back(at::scaled_dot_product_attention(of_group(q, h), head(kv.keys), head(kv.values), {},
                                                 0.0, false, size.scale()));
  }
  return {at::cat(z, 1)};
}

ComparedCase make_case(const Step& step, at::ScalarType dtype) {
  int64_t kept = 0;
  for (const int64_t n : step.length) kept += n;
  // Weights and results rounded to 16 bits.
  const double rounded = dtype == at::kFloat ? 2e-5 : dtype == at::kHalf ? 4e-3 : 3e-2;
  const auto elements = static_cast<double>(kept * step.size.head_dim);
  return {
      .op = "ragged_attention",
      .name = std::string(step.size.name) + ", " +
              (step.even ? std::to_string(step.longest) + " per KV head"
                         : std::to_string(kept) + " over the KV heads, unevenly"),
      .dtype = dtype,
      .ours = {"ours", [step] { return step.ours(); }, rounded},
      .peer = {{"HeadKV's step", [step] { return step.head_flat(); }, rounded}},
      .compositions = {{"grouped attention", [step] { return step.grouped_sdpa(); }, rounded},
                       {"grouped products", [step] { return step.grouped_products(); }, rounded},
                       {"attention per head", [step] { return step.sdpa_per_head(); }, rounded}},
      .oracle = [step] { return step.oracle(); },
      .work = {.flops = 4.0 * elements * static_cast<double>(step.size.group()),
               .bytes = 2.0 * elements * static_cast<double>(step.q.element_size())},
      .canonical = {}};
}

Row time_step(const Step& step, at::ScalarType dtype, const Options& options, const Roofs& roofs) {
  const ComparedCase c = make_case(step, dtype);
  Row row = time_case(c, options, roofs);
  if (!step.even) return row;
  const Way eager{"repeat_kv", [&] { return step.eager_repeat(); }, c.ours.tolerance};
  expect_close("the eager step", eager.run()[0], c.oracle()[0], eager.tolerance);
  const PairedTimes times = time_pairs([&] { static_cast<void>(c.ours.run()); },
                                       [&] { static_cast<void>(eager.run()); }, options);
  row.more["repeat_kv_ms"] = times.other_ms;
  row.more["ratio_repeat_kv"] = times.ratio;
  return row;
}

std::vector<int64_t> uneven(const LayerSize& size) {
  const std::vector<int64_t> pattern{2048, 64, 512, 256, 4096, 128, 1024, 64};
  std::vector<int64_t> all;
  for (int64_t h = 0; h < size.num_kv_heads; ++h) {
    all.push_back(pattern[static_cast<size_t>(h) % pattern.size()]);
  }
  return all;
}

}  // namespace

std::vector<Row> benchmark_ragged_attention(const Options& options, const Roofs& roofs) {
  const std::vector<at::ScalarType> dtypes{at::kFloat, at::kBFloat16, at::kHalf};
  std::vector<Row> rows;
  if (options.check_only) {
    for (const at::ScalarType dtype : dtypes) {
      check_case(make_case(Step(kSmall, {130, 130}, dtype), dtype));
      check_case(make_case(Step(kSmall, {200, 33}, dtype), dtype));
    }
    return rows;
  }
  for (const LayerSize& size : {kLlama, kSmol}) {
    for (const int64_t kept : {256, 1024, 4096}) {
      for (const at::ScalarType dtype : dtypes) {
        const std::vector<int64_t> length(static_cast<size_t>(size.num_kv_heads), kept);
        rows.push_back(time_step(Step(size, length, dtype), dtype, options, roofs));
      }
    }
    for (const at::ScalarType dtype : dtypes) {
      rows.push_back(time_step(Step(size, uneven(size), dtype), dtype, options, roofs));
    }
  }
  return rows;
}

}  // namespace headscope::benchmarks
