// The most attended keys of every head at the answer's steps, against
//   B0  the peers' retrieval score: attention step by step, then topk and .tolist() for every head
//   B1  all steps in one pass: products on [Hkv, group * n, d], topk of the logits, log-sum-exp
#include <ATen/ATen.h>

#include <limits>
#include <optional>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

struct Rows {
  LayerSize size;
  int64_t num_keys, steps, top_n;
  at::Tensor q, k, lse;  // [Hq, n, d], [Hkv, S + n, d], [Hq, n]

  Rows(const LayerSize& layer, int64_t keys, int64_t n, int64_t top, at::ScalarType dtype)
      : size(layer), num_keys(keys), steps(n), top_n(top) {
    at::manual_seed(16);
    q = (at::randn({size.num_query_heads, n, size.head_dim}) * 2.0).to(dtype);
    k = at::randn({size.num_kv_heads, keys + n, size.head_dim}).to(dtype);
    lse = logits(at::kDouble).logsumexp({-1}).to(at::kFloat);
  }

  [[nodiscard]] at::Tensor logits(at::ScalarType dtype) const {  // [Hq, n, S + n]
    at::Tensor x =
        at::bmm(q.to(dtype).mul(size.scale()).reshape({size.num_kv_heads, -1, size.head_dim}),
                k.to(dtype).transpose(1, 2))
            .view({size.num_query_heads, steps, num_keys + steps});
    x.slice(2, num_keys)
        .masked_fill_(at::ones({steps, steps}, at::kBool).triu(/*diagonal=*/1),
                      -std::numeric_limits<double>::infinity());
    return x;
  }

  [[nodiscard]] Results ours(bool lse_known) const {
    return {kernels::top_attended(q, k, size.scale(), num_keys, top_n,
                                  lse_known ? std::optional(lse) : std::nullopt)
                .weight};
  }
  [[nodiscard]] Results one_pass(at::ScalarType dtype, bool lse_known) const {
    const at::Tensor x = logits(dtype);
    const auto [value, position] = x.topk(top_n);
    const at::Tensor row_lse = lse_known ? lse : x.to(at::kFloat).logsumexp({-1});
    return {(value.to(at::kFloat) - row_lse.unsqueeze(-1)).exp()};
  }
  [[nodiscard]] Results step_by_step() const {
    at::Tensor best = at::empty({size.num_query_heads, steps, top_n});
    for (int64_t step = 0; step < steps; ++step) {
      const at::Tensor keys =
          repeat_kv(k.narrow(1, 0, num_keys + step + 1).unsqueeze(0), size.group());
      const at::Tensor query = q.narrow(1, step, 1).unsqueeze(0);
      const at::Tensor weight =
          (at::matmul(query, keys.transpose(2, 3)) * size.scale()).softmax(-1, at::kFloat);
      for (int64_t head = 0; head < size.num_query_heads; ++head) {
        best[head][step].copy_(std::get<0>(weight[0][head][0].topk(top_n)));
      }
    }
    return {best};
  }
};

ComparedCase make_case(
    const LayerSize& size, int64_t keys, int64_t steps, at::ScalarType dtype, bool lse_known) {
  const Rows rows(size, keys, steps, /*top=*/16, dtype);
  const double rounded = dtype == at::kFloat ? 1e-4 : dtype == at::kHalf ? 0.02 : 0.12;
  ComparedCase c{
      .op = "top_attended",
      .name = std::string(size.name) + ", " + std::to_string(keys) + " keys, " +
              std::to_string(steps) + " steps, best 16" + (lse_known ? ", log-sum-exp known" : ""),
      .dtype = dtype,
      .ours = {"ours", [rows, lse_known] { return rows.ours(lse_known); }, 1e-4},
      .peer = {{"step by step", [rows] { return rows.step_by_step(); }, rounded}},
      .compositions = {},
      .oracle =
          [rows] {
            return Results{std::get<0>(rows.logits(at::kDouble).softmax(-1).topk(rows.top_n))};
          },
      .work = {.flops = 2.0 * static_cast<double>(size.num_query_heads * steps) *
                        static_cast<double>(keys * size.head_dim),
               .bytes = static_cast<double>(rows.k.nbytes())},
      .canonical = {}};
  for (const at::ScalarType type :
       dtype == at::kFloat ? std::vector{at::kFloat} : std::vector{dtype, at::kFloat}) {
    c.compositions.push_back({"one pass",
                              [rows, type, lse_known] { return rows.one_pass(type, lse_known); },
                              type == dtype ? rounded : 1e-4});
  }
  return c;
}

}  // namespace

std::vector<Row> benchmark_top_attended(const Options& options, const Roofs& roofs) {
  std::vector<Row> rows;
  if (options.check_only) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      check_case(make_case(kSmall, 300, 5, dtype, false));
      check_case(make_case(kSmall, 300, 5, dtype, true));
    }
    return rows;
  }
  for (const bool lse_known : {false, true}) {
    for (const int64_t keys : {2048, 8192}) {
      rows.push_back(time_case(make_case(kSmol, keys, 32, at::kFloat, lse_known), options, roofs));
      rows.push_back(time_case(make_case(kLlama, keys, 32, at::kFloat, lse_known), options, roofs));
      rows.push_back(
          time_case(make_case(kLlama, keys, 32, at::kBFloat16, lse_known), options, roofs));
    }
  }
  return rows;
}

}  // namespace headscope::benchmarks
