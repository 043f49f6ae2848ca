// What every head pays to a needle at the answer's steps, against
//   B0  the peers' probe, step by step with output_attentions: cache cat, repeat_kv, two products
//       with a float32 softmax between, then a slice, its sum and .item() for every head
//   B1  all steps in one pass: products on [Hkv, group * n, d]; with the log-sum-exp known (the
//       forward pass leaves it) of the span's keys only
// `whole probe` takes the steps' attention along on our side as well (it gives the log-sum-exp);
// the other cases time the reading alone.
#include <ATen/ATen.h>

#include <limits>
#include <optional>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Probe {
  LayerSize size;
  int64_t num_keys, steps;  // keys before the first step's own
  std::vector<kernels::KeySpan> spans;
  at::Tensor q, k, v, lse;  // [Hq, n, d], [Hkv, S + n, d] twice, [Hq, n]

  Probe(const LayerSize& layer, int64_t keys, int64_t n, at::ScalarType dtype)
      : size(layer), num_keys(keys), steps(n), spans{{keys / 3, keys / 3 + 40}} {
    at::manual_seed(15);
    q = (at::randn({size.num_query_heads, n, size.head_dim}) * 2.0).to(dtype);
    k = at::randn({size.num_kv_heads, keys + n, size.head_dim}).to(dtype);
    v = at::randn({size.num_kv_heads, keys + n, size.head_dim}).to(dtype);
    lse = kernels::causal_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), size.scale())
              .lse[0];
  }

  [[nodiscard]] at::Tensor future() const {  // [n, n], true where a step must not look
    return at::ones({steps, steps}, at::kBool).triu(/*diagonal=*/1);
  }
  // [Hkv, group * n, keys]
  [[nodiscard]] at::Tensor products(at::ScalarType dtype, int64_t begin, int64_t end) const {
    return at::bmm(q.to(dtype).mul(size.scale()).reshape({size.num_kv_heads, -1, size.head_dim}),
                   k.slice(1, begin, end).to(dtype).transpose(1, 2));
  }
  [[nodiscard]] at::Tensor weights(at::ScalarType dtype) const {  // [Hq, n, S + n]
    at::Tensor logits =
        products(dtype, 0, num_keys + steps).view({size.num_query_heads, steps, num_keys + steps});
    logits.slice(2, num_keys).masked_fill_(future(), kMinusInfinity);
    return logits.softmax(-1, dtype == at::kDouble ? at::kDouble : at::kFloat);
  }
  [[nodiscard]] at::Tensor on_spans(const at::Tensor& weight) const {
    return weight.slice(2, spans[0].begin, spans[0].end).sum(-1, /*keepdim=*/true);
  }

  [[nodiscard]] Results read(bool lse_known) const {
    return {kernels::span_attention(q, k, size.scale(), num_keys, spans,
                                    lse_known ? std::optional(lse) : std::nullopt)};
  }
  [[nodiscard]] Results attend_and_read() const {
    const at::Tensor row_lse =
        kernels::causal_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), size.scale())
            .lse[0];
    return {kernels::span_attention(q, k, size.scale(), num_keys, spans, row_lse)};
  }
  [[nodiscard]] Results step_by_step() const;
  [[nodiscard]] Results one_pass(at::ScalarType dtype, bool with_values) const {
    const at::Tensor weight = weights(dtype);
    if (with_values) {
      const at::Tensor grouped = weight.to(dtype).view({size.num_kv_heads, -1, num_keys + steps});
      const at::Tensor z = at::bmm(grouped, v.to(dtype));
      if (z.numel() == 0) return {};
    }
    return {on_spans(weight)};
  }
  [[nodiscard]] Results span_only(at::ScalarType dtype) const {
    const at::Tensor logits = products(dtype, spans[0].begin, spans[0].end)
                                  .to(at::kFloat)
                                  .view({size.num_query_heads, steps, -1});
    return {logits.sub_(lse.unsqueeze(-1)).exp_().sum(-1, /*keepdim=*/true)};
  }
};

Results Probe::step_by_step() const {
  at::Tensor mass = at::empty({size.num_query_heads, steps, 1});
  auto out = mass.accessor<float, 3>();
  at::Tensor past_k = k.narrow(1, 0, num_keys).unsqueeze(0);
  at::Tensor past_v = v.narrow(1, 0, num_keys).unsqueeze(0);
  for (int64_t step = 0; step < steps; ++step) {
    past_k = at::cat({past_k, k.narrow(1, num_keys + step, 1).unsqueeze(0)}, 2);
    past_v = at::cat({past_v, v.narrow(1, num_keys + step, 1).unsqueeze(0)}, 2);
    const at::Tensor keys = repeat_kv(past_k, size.group());
    const at::Tensor values = repeat_kv(past_v, size.group());
    const at::Tensor query = q.narrow(1, step, 1).unsqueeze(0);
    const at::Tensor weight = (at::matmul(query, keys.transpose(2, 3)) * size.scale())
                                  .softmax(-1, at::kFloat)
                                  .to(q.scalar_type());
    const at::Tensor z = at::matmul(weight, values);
    for (int64_t head = 0; head < z.size(1); ++head) {
      out[head][step][0] =
          weight[0][head][0].slice(0, spans[0].begin, spans[0].end).sum().item<float>();
    }
  }
  return {mass};
}

enum class Part { kWholeProbe, kReading, kReadingLseKnown };

std::string words(Part part) {
  if (part == Part::kWholeProbe) return ", whole probe";
  return part == Part::kReading ? "" : ", log-sum-exp known";
}

ComparedCase make_case(
    const LayerSize& size, int64_t keys, int64_t steps, at::ScalarType dtype, Part part) {
  const Probe probe(size, keys, steps, dtype);
  const double rounded = dtype == at::kFloat ? 1e-4 : dtype == at::kHalf ? 0.02 : 0.12;
  const auto rows = static_cast<double>(size.num_query_heads * steps);
  const int64_t span_keys = probe.spans[0].end - probe.spans[0].begin;
  const auto read_keys = static_cast<double>(part == Part::kReadingLseKnown ? span_keys : keys);
  const double per_key = part == Part::kWholeProbe ? 2.0 : 1.0;  // values are read as well
  ComparedCase c{
      .op = "span_attention",
      .name = std::string(size.name) + ", " + std::to_string(keys) + " keys, " +
              std::to_string(steps) + " steps" + words(part),
      .dtype = dtype,
      .ours = {"ours",
               [probe, part] {
                 return part == Part::kWholeProbe ? probe.attend_and_read()
                                                  : probe.read(part == Part::kReadingLseKnown);
               },
               1e-4},
      .peer = {},
      .compositions = {},
      .oracle = [probe] { return Results{probe.on_spans(probe.weights(at::kDouble))}; },
      .work = {.flops = per_key * 2.0 * rows * read_keys * static_cast<double>(size.head_dim),
               .bytes =
                   per_key * read_keys *
                   static_cast<double>(size.num_kv_heads * size.head_dim * probe.k.element_size())},
      .canonical = {}};
  if (part == Part::kWholeProbe) {
    c.peer.push_back({"step by step", [probe] { return probe.step_by_step(); }, rounded});
  }
  for (const at::ScalarType type :
       dtype == at::kFloat ? std::vector{at::kFloat} : std::vector{dtype, at::kFloat}) {
    const double allowed = type == dtype ? rounded : 1e-4;
    if (part == Part::kReadingLseKnown) {
      c.compositions.push_back(
          {"products of the span", [probe, type] { return probe.span_only(type); }, allowed});
    } else {
      c.compositions.push_back(
          {"one pass",
           [probe, type, part] { return probe.one_pass(type, part == Part::kWholeProbe); },
           allowed});
    }
  }
  return c;
}

}  // namespace

std::vector<Row> benchmark_span_attention(const Options& options, const Roofs& roofs) {
  std::vector<Row> rows;
  const std::vector<Part> parts{Part::kWholeProbe, Part::kReading, Part::kReadingLseKnown};
  if (options.check_only) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      for (const Part part : parts) check_case(make_case(kSmall, 300, 5, dtype, part));
    }
    return rows;
  }
  for (const Part part : parts) {
    for (const int64_t keys : {2048, 8192, 32768}) {
      rows.push_back(time_case(make_case(kSmol, keys, 32, at::kFloat, part), options, roofs));
      if (keys == 32768 && part == Part::kWholeProbe) continue;
      rows.push_back(time_case(make_case(kLlama, keys, 32, at::kFloat, part), options, roofs));
      rows.push_back(time_case(make_case(kLlama, keys, 32, at::kBFloat16, part), options, roofs));
    }
  }
  return rows;
}

}  // namespace headscope::benchmarks
