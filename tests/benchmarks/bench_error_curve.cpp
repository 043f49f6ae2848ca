// The whole error curve of one layer, from the keys' scores to the relative errors at every budget,
// after the output projection (profiler/eviction_error.cpp does the same), against
//   B0  the peer's way: per budget a gather with an expanded index and cat, then per decode step
//       repeat_kv, two products, softmax, o_proj and a norm, as CompressKV measures its layer error
//       (arXiv 2508.02401, one budget per run)
//   B1  one pass in ATen: each key gathered once, one partial softmax per band, prefixes merged
//   separate: per budget one index_select, batched attention of all steps without repeat_kv, o_proj
// and beside one full attention of the same rows over the same cache.
#include <ATen/ATen.h>

#include <limits>

#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "profiler/output_error.h"
#include "profiler/ranked_keys.h"
#include "tests/benchmarks/benchmark.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

constexpr int64_t kWindow = 8;

const std::vector<int64_t> kSixteen{8,   16,  24,  32,  48,  64,   96,   128,
                                    192, 256, 384, 512, 768, 1024, 2048, 4096};
const std::vector<int64_t> kEight{16, 32, 64, 128, 256, 512, 1024, 4096};

// The prompt's S keys, then R decode steps; every key before the window has a score.
struct Case {
  LayerSize size;
  int64_t num_keys, rows;
  std::vector<int64_t> budgets;
  double scale;
  at::Tensor q, k, v, w_o, scores, z_full;

  Case(const LayerSize& layer, int64_t keys, int64_t steps, const std::vector<int64_t>& all)
      : size(layer), num_keys(keys), rows(steps), budgets(all), scale(layer.scale()) {
    at::manual_seed(7);
    q = at::randn({size.num_query_heads, rows, size.head_dim}) * 2.0;
    k = at::randn({size.num_kv_heads, keys + rows, size.head_dim});
    v = at::randn({size.num_kv_heads, keys + rows, size.head_dim});
    w_o = at::randn({size.hidden, size.num_query_heads * size.head_dim}) * 0.02;
    scores = heavy_tailed_scores(1, keys - kWindow);
    z_full = full_attention();
  }

  [[nodiscard]] at::Tensor full_attention() const {
    return kernels::causal_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), scale).z[0];
  }
  [[nodiscard]] std::vector<int64_t> cuts() const {
    std::vector<int64_t> all;
    for (const int64_t budget : budgets) all.push_back(std::max<int64_t>(0, budget - kWindow));
    return all;
  }
  [[nodiscard]] at::Tensor order() const {
    return profiler::best_keys(scores, cuts().back(), size.num_kv_heads);
  }
  [[nodiscard]] at::Tensor errors_of(const at::Tensor& z) const {
    return profiler::relative_output_errors(z, z_full, w_o, size.num_kv_heads);
  }

  // [num_budgets, Hq, R, d]
  [[nodiscard]] at::Tensor curve(const at::Tensor& ranked) const {
    return kernels::error_curve(q, k, v, scale, num_keys, ranked, cuts(), num_keys - kWindow);
  }
  [[nodiscard]] at::Tensor ours() const { return errors_of(curve(order())); }
  [[nodiscard]] at::Tensor aten_curve(const at::Tensor& ranked) const {
    return kernels::error_curve_aten(q, k, v, scale, num_keys, ranked, cuts(), num_keys - kWindow);
  }
  [[nodiscard]] at::Tensor one_pass_aten() const {
    return errors_of(
        aten_curve(std::get<1>(scores.topk(cuts().back())).expand({size.num_kv_heads, -1})));
  }
  [[nodiscard]] at::Tensor separate(at::ScalarType dtype, int64_t steps) const;
  [[nodiscard]] at::Tensor peer() const;
};

// Layer errors [num_budgets, steps], every budget by itself.
at::Tensor Case::separate(at::ScalarType dtype, int64_t steps) const {
  const int64_t group = size.num_query_heads / size.num_kv_heads;
  const at::Tensor query =
      q.narrow(1, 0, steps).to(dtype).reshape({size.num_kv_heads, group * steps, size.head_dim});
  const at::Tensor projection = w_o.to(dtype).t();
  const auto project = [&](const at::Tensor& z) {  // [Hq, steps, d] -> [steps, hidden]
    return at::mm(z.transpose(0, 1).flatten(1), projection);
  };
  const at::Tensor full = project(z_full.narrow(1, 0, steps).to(dtype));
  const at::Tensor norm = full.norm(2, 1) + profiler::kErrorEpsilon;
  const at::Tensor tail = at::arange(num_keys - kWindow, num_keys + steps, at::kLong);
  // Step i sees the tail up to itself.
  const at::Tensor hidden =
      tail.unsqueeze(0) > at::arange(num_keys, num_keys + steps, at::kLong).unsqueeze(1);
  std::vector<at::Tensor> errors;
  for (const int64_t cut : cuts()) {
    const at::Tensor kept =
        at::cat({std::get<1>(scores[0].topk(cut, -1, true, /*sorted=*/false)), tail});
    const at::Tensor keys = k.index_select(1, kept).to(dtype);
    const at::Tensor values = v.index_select(1, kept).to(dtype);
    at::Tensor logits = at::bmm(query, keys.transpose(1, 2)) * scale;
    logits.view({size.num_kv_heads, group, steps, -1})
        .slice(3, cut)
        .masked_fill_(hidden, -std::numeric_limits<double>::infinity());
    const at::Tensor z =
        at::bmm(logits.softmax(-1), values).view({size.num_query_heads, steps, size.head_dim});
    errors.push_back((project(z) - full).norm(2, 1) / norm);
  }
  return at::stack(errors);
}

// The peer's sequence: gather per budget, everything else per decode step.
at::Tensor Case::peer() const {
  const int64_t group = size.num_query_heads / size.num_kv_heads;
  const at::Tensor batched_k = k.unsqueeze(0), batched_v = v.unsqueeze(0);
  std::vector<at::Tensor> errors;
  for (const int64_t cut : cuts()) {
    const at::Tensor index = std::get<1>(scores[0].topk(cut))
                                 .view({1, 1, cut, 1})
                                 .expand({1, size.num_kv_heads, cut, size.head_dim});
    const at::Tensor past_k = batched_k.narrow(2, 0, num_keys).gather(2, index);
    const at::Tensor past_v = batched_v.narrow(2, 0, num_keys).gather(2, index);
    for (int64_t step = 0; step < rows; ++step) {
      const int64_t recent = kWindow + step + 1;
      const at::Tensor keys =
          repeat_kv(at::cat({past_k, batched_k.narrow(2, num_keys - kWindow, recent)}, 2), group);
      const at::Tensor values =
          repeat_kv(at::cat({past_v, batched_v.narrow(2, num_keys - kWindow, recent)}, 2), group);
      const at::Tensor query = q.narrow(1, step, 1).unsqueeze(0);
      const at::Tensor weight = (at::matmul(query, keys.transpose(2, 3)) * scale).softmax(-1);
      const at::Tensor z = at::matmul(weight, values).transpose(1, 2).reshape({1, 1, -1});
      const at::Tensor full = at::linear(z_full.narrow(1, step, 1).reshape({1, 1, -1}), w_o);
      const at::Tensor kept = at::linear(z, w_o);
      errors.push_back((kept - full).norm() / (full.norm() + profiler::kErrorEpsilon));
    }
  }
  return at::stack(errors).view({-1, rows});
}

// Errors are of order 1; float32 sums of 4 096 products and softmax over up to 32K keys.
constexpr double kTolerance = 2e-5;

void check(const Case& c) {
  const int64_t steps = std::min<int64_t>(2, c.rows);
  const at::Tensor oracle = c.separate(at::kDouble, steps);
  expect_close("error_curve: ours", c.ours().select(1, 0).narrow(1, 0, steps), oracle, kTolerance);
  expect_close("error_curve: one pass in ATen", c.one_pass_aten().select(1, 0).narrow(1, 0, steps),
               oracle, kTolerance);
  expect_close("error_curve: the peer's sequence", c.peer().narrow(1, 0, steps), oracle,
               kTolerance);
}

std::string case_name(const Case& c) {
  return std::string(c.size.name) + ", " + std::to_string(c.num_keys) + " keys, " +
         std::to_string(c.rows) + " steps, " + std::to_string(c.budgets.size()) +
         " budgets to 4096";
}

// What the kernel does, without the projection: one product of all budgets' rows with the layer's
// weights, the same in ours and B1 and the greater part of both.
Row time_outputs(const Case& c, const Options& options, const Roofs& roofs) {
  const at::Tensor ranked = c.order();
  const PairedTimes b1 = time_pairs([&] { static_cast<void>(c.curve(ranked)); },
                                    [&] { static_cast<void>(c.aten_curve(ranked)); }, options);
  const double flops = 4.0 * static_cast<double>(c.size.num_query_heads * c.rows) *
                       static_cast<double>(c.size.head_dim * (c.cuts().back() + kWindow));
  return {.op = "error_curve",
          .case_name = case_name(c) + ", outputs alone",
          .dtype = "float32",
          .ours_ms = b1.ours_ms,
          .b1_ms = b1.other_ms,
          .ratio_b1 = b1.ratio,
          .fraction_of_roof = flops / b1.ours_ms / 1e6 / roofs.gemm_gflops,
          .more = {{"p10_b1", b1.p10}, {"p90_b1", b1.p90}}};
}

Row time(const Case& c, const Options& options, const Roofs& roofs) {
  const PairedTimes b0 = time_pairs([&] { static_cast<void>(c.ours()); },
                                    [&] { static_cast<void>(c.peer()); }, options);
  const PairedTimes b1 = time_pairs([&] { static_cast<void>(c.ours()); },
                                    [&] { static_cast<void>(c.one_pass_aten()); }, options);
  const PairedTimes separate =
      time_pairs([&] { static_cast<void>(c.ours()); },
                 [&] { static_cast<void>(c.separate(at::kFloat, c.rows)); }, options);
  const PairedTimes whole = time_pairs([&] { static_cast<void>(c.ours()); },
                                       [&] { static_cast<void>(c.full_attention()); }, options);
  const at::Tensor ranked = c.order();
  const PairedTimes outputs = time_pairs([&] { static_cast<void>(c.curve(ranked)); },
                                         [&] { static_cast<void>(c.full_attention()); }, options);
  const auto heads = static_cast<double>(c.size.num_query_heads * c.rows * c.size.head_dim);
  const double attention = 4.0 * heads * static_cast<double>(c.cuts().back() + kWindow);
  const double projection =
      2.0 * heads * static_cast<double>(c.size.hidden) * static_cast<double>(c.budgets.size());
  return {.op = "error_curve",
          .case_name = case_name(c),
          .dtype = "float32",
          .ours_ms = b0.ours_ms,
          .b0_ms = b0.other_ms,
          .b1_ms = b1.other_ms,
          .ratio_b0 = b0.ratio,
          .ratio_b1 = b1.ratio,
          .p10 = b0.p10,
          .p90 = b0.p90,
          .fraction_of_roof = (attention + projection) / b0.ours_ms / 1e6 / roofs.gemm_gflops,
          .more = {
              {"p10_b1", b1.p10},
              {"p90_b1", b1.p90},
              {"pairs_b0", static_cast<double>(b0.pairs)},
              {"separate_ms", separate.other_ms},
              {"ratio_separate", separate.ratio},
              {"full_attention_ms", outputs.other_ms},
              {"outputs_ms", outputs.ours_ms},
              {"outputs_of_full_attention", 1.0 / outputs.ratio},
              {"whole_of_full_attention", 1.0 / whole.ratio},
              {"outputs_fraction_of_roof", attention / outputs.ours_ms / 1e6 / roofs.gemm_gflops}}};
}

}  // namespace

std::vector<Row> benchmark_error_curve(const Options& options, const Roofs& roofs) {
  if (options.check_only) {
    check(Case(kSmol, 640, 5, {8, 16, 32, 256, 512}));
    check(Case(kSmall, 300, 3, {8, 64, 200}));
    return {};
  }
  std::vector<Row> rows;
  for (const LayerSize& layer : {kLlama, kSmol}) {
    for (const int64_t keys : {8192, 32768}) {
      for (const auto* budgets : {&kEight, &kSixteen}) {
        const Case c(layer, keys, /*steps=*/32, *budgets);
        check(c);
        for (const auto& timed : {time, time_outputs}) {
          rows.push_back(timed(c, options, roofs));
          announce(rows.back());
        }
      }
    }
  }
  return rows;
}

}  // namespace headscope::benchmarks
