// Prompt attention of one layer, log-sum-exp included, against
//   B0  transformers' eager attention: repeat_kv, product, mask, float32 softmax, product
//   B1  LibTorch's attention for the CPU: its flash kernel with grouped or repeated keys for a
//   whole
//       prompt, the same with a mask for a chunk behind a prefix
#include <ATen/ATen.h>

#include <limits>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

// Eager attention keeps this many logits three times: longer prompts are left out.
constexpr int64_t kMostEagerLogits = int64_t{1} << 28;

struct Prompt {
  LayerSize size;
  int64_t rows, num_keys;
  at::Tensor q, k, v;  // [1, Hq, n, d], [1, Hkv, S, d] twice
  at::Tensor mask;     // [n, S], -inf where not seen; built outside the timed part

  Prompt(const LayerSize& layer, int64_t n, int64_t keys, at::ScalarType dtype)
      : size(layer), rows(n), num_keys(keys) {
    at::manual_seed(17);
    q = (at::randn({1, size.num_query_heads, n, size.head_dim}) * 2.0).to(dtype);
    k = at::randn({1, size.num_kv_heads, keys, size.head_dim}).to(dtype);
    v = at::randn({1, size.num_kv_heads, keys, size.head_dim}).to(dtype);
    mask = at::full({n, keys}, -std::numeric_limits<double>::infinity(), dtype).triu(keys - n + 1);
  }
  [[nodiscard]] bool whole() const { return rows == num_keys; }

  [[nodiscard]] Results ours() const {
    kernels::AttentionResult out = kernels::causal_attention(q, k, v, size.scale());
    return {out.z, out.lse};
  }
  [[nodiscard]] Results eager() const {
    const at::Tensor keys = repeat_kv(k, size.group()), values = repeat_kv(v, size.group());
    at::Tensor weight = at::matmul(q, keys.transpose(2, 3)) * size.scale();
    weight += mask;
    weight = weight.softmax(-1, at::kFloat).to(q.scalar_type());
    return {at::matmul(weight, values)};
  }
  [[nodiscard]] Results flash(bool repeated) const {
    const at::Tensor keys = repeated ? repeat_kv(k, size.group()) : k;
    const at::Tensor values = repeated ? repeat_kv(v, size.group()) : v;
    auto [z, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
        q, keys, values, /*dropout_p=*/0.0, /*is_causal=*/whole(),
        whole() || rows == 1 ? std::nullopt : std::optional(mask), size.scale());
    return {z, lse};
  }
  [[nodiscard]] Results oracle() const;
};

// Head by head: float64 logits of a long prompt would not fit the memory at once.
Results Prompt::oracle() const {
  std::vector<at::Tensor> z, lse;
  for (int64_t head = 0; head < size.num_query_heads; ++head) {
    const int64_t kv_head = head / size.group();
    at::Tensor logits = at::mm(q[0][head].to(at::kDouble), k[0][kv_head].to(at::kDouble).t());
    logits.mul_(size.scale()).add_(mask);
    lse.push_back(logits.logsumexp({-1}));
    z.push_back(at::mm(logits.softmax(-1), v[0][kv_head].to(at::kDouble)));
  }
  return {at::stack(z).unsqueeze(0), at::stack(lse).unsqueeze(0)};
}

ComparedCase make_case(const Prompt& prompt, at::ScalarType dtype) {
  const LayerSize& size = prompt.size;
  const double rounded = dtype == at::kFloat ? 2e-5 : dtype == at::kHalf ? 4e-3 : 3e-2;
  const auto pairs =
      static_cast<double>(prompt.rows) * (static_cast<double>(prompt.num_keys - prompt.rows) +
                                          static_cast<double>(prompt.rows + 1) / 2.0);
  ComparedCase c{
      .op = "causal_attention",
      .name = std::string(size.name) + ", " + std::to_string(prompt.rows) + " tokens" +
              (prompt.whole() ? "" : " after " + std::to_string(prompt.num_keys - prompt.rows)),
      .dtype = dtype,
      .ours = {"ours", [prompt] { return prompt.ours(); }, rounded},
      .peer = {},
      .compositions = {{"flash, grouped", [prompt] { return prompt.flash(false); }, rounded},
                       {"flash, repeated", [prompt] { return prompt.flash(true); }, rounded}},
      .oracle = [prompt] { return prompt.oracle(); },
      .work = {.flops = 4.0 * pairs * static_cast<double>(size.num_query_heads * size.head_dim),
               .bytes = static_cast<double>(prompt.k.nbytes() + prompt.v.nbytes())},
      .canonical = {}};
  if (size.num_query_heads * prompt.rows * prompt.num_keys <= kMostEagerLogits) {
    c.peer.push_back({"eager attention", [prompt] { return prompt.eager(); }, rounded});
  }
  return c;
}

}  // namespace

std::vector<Row> benchmark_causal_attention(const Options& options, const Roofs& roofs) {
  const std::vector<at::ScalarType> dtypes{at::kFloat, at::kBFloat16, at::kHalf};
  std::vector<Row> rows;
  if (options.check_only) {
    for (const at::ScalarType dtype : dtypes) {
      check_case(make_case(Prompt(kSmall, 150, 150, dtype), dtype));
      check_case(make_case(Prompt(kSmall, 40, 150, dtype), dtype));
    }
    return rows;
  }
  const auto time = [&](const LayerSize& size, int64_t n, int64_t keys, at::ScalarType dtype) {
    rows.push_back(time_case(make_case(Prompt(size, n, keys, dtype), dtype), options, roofs));
  };
  for (const at::ScalarType dtype : dtypes) {
    time(kSmol, 2048, 2048, dtype);
    time(kLlama, 2048, 2048, dtype);
    time(kLlama, 512, 4096, dtype);
    time(kSmol, 1, 4096, dtype);
    time(kLlama, 1, 4096, dtype);
  }
  time(kSmol, 8192, 8192, at::kFloat);
  time(kSmol, 8192, 8192, at::kBFloat16);
  return rows;
}

}  // namespace headscope::benchmarks
