#include "tests/benchmarks/prefill_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/projection.h"
#include "model/row_tasks.h"
#include "runtime/full_kv_cache.h"
#include "tests/support/memory_weights.h"

namespace headscope::benchmarks {

PrefillModel::PrefillModel(const model::ModelConfig& config, at::ScalarType dtype)
    : config_(config),
      dtype_(dtype),
      tensors_(testing::random_tensors(config, /*seed=*/18)),
      decoder_(config, testing::MemoryWeights(tensors_), dtype, at::kCPU) {
  for (auto& [name, tensor] : tensors_) tensor = tensor.to(dtype);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const std::string attention = prefix(layer) + "self_attn.", mlp = prefix(layer) + "mlp.";
    qkv_.push_back(at::cat({weight(attention + "q_proj"), weight(attention + "k_proj"),
                            weight(attention + "v_proj")}));
    gate_up_.push_back(at::cat({weight(mlp + "gate_proj"), weight(mlp + "up_proj")}));
  }
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto l = static_cast<size_t>(layer);
    packed_.push_back({model::packed_weight(qkv_[l]),
                       model::packed_weight(weight(prefix(layer) + "self_attn.o_proj")),
                       model::packed_weight(gate_up_[l]),
                       model::packed_weight(weight(prefix(layer) + "mlp.down_proj"))});
  }
}

at::Tensor PrefillModel::ours(const std::vector<int64_t>& tokens) const {
  runtime::FullKvCache cache(config_.num_layers);
  return decoder_.prefill(tokens, cache)[0][0];
}

double PrefillModel::product_flops(int64_t n) const {
  double weights = 0.0;
  for (const at::Tensor& t : {qkv_[0], weight(prefix(0) + "self_attn.o_proj"), gate_up_[0],
                              weight(prefix(0) + "mlp.down_proj")}) {
    weights += static_cast<double>(t.numel());
  }
  return 2.0 * weights * static_cast<double>(n * config_.num_layers);
}

double PrefillModel::attention_flops(int64_t n) const {
  return 2.0 * static_cast<double>(n) * static_cast<double>(n + 1) *
         static_cast<double>(config_.num_layers * config_.num_query_heads * config_.head_dim);
}

at::Tensor PrefillModel::norm(const at::Tensor& x, const std::string& name, bool fused) const {
  if (fused) return at::rms_norm(x, {x.size(-1)}, weight(name), config_.rms_norm_eps);
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor variance = wide.pow(2).mean(-1, /*keepdim=*/true);
  return weight(name) * (wide * at::rsqrt(variance + config_.rms_norm_eps)).to(x.scalar_type());
}

at::Tensor PrefillModel::attention(int64_t layer,
                                   const at::Tensor& x,
                                   const at::Tensor& cos,
                                   const at::Tensor& sin,
                                   bool fused) const {
  const std::string name = prefix(layer) + "self_attn.";
  const int64_t d = config_.head_dim, half = d / 2;
  at::Tensor q, k, v;
  if (fused) {
    const at::Tensor qkv = at::linear(x, qkv_[static_cast<size_t>(layer)]);
    const auto parts = qkv.split_with_sizes(
        {config_.num_query_heads * d, config_.num_kv_heads * d, config_.num_kv_heads * d}, -1);
    q = parts[0];
    k = parts[1];
    v = parts[2];
  } else {
    q = at::linear(x, weight(name + "q_proj"));
    k = at::linear(x, weight(name + "k_proj"));
    v = at::linear(x, weight(name + "v_proj"));
  }
  const auto by_head = [&](const at::Tensor& t) {
    return t.unflatten(-1, {-1, d}).transpose(1, 2);
  };
  const auto rotated = [&](const at::Tensor& t) {
    const at::Tensor turned = at::cat({-t.slice(-1, half), t.slice(-1, 0, half)}, -1);
    return t * cos + turned * sin;
  };
  const at::Tensor z =
      at::scaled_dot_product_attention(rotated(by_head(q)), rotated(by_head(k)), by_head(v), {},
                                       0.0, /*is_causal=*/true, std::nullopt, /*enable_gqa=*/true);
  return at::linear(z.transpose(1, 2).contiguous().flatten(2), weight(name + "o_proj"));
}

at::Tensor PrefillModel::reference(const std::vector<int64_t>& tokens, bool fused) const {
  const auto n = static_cast<int64_t>(tokens.size());
  const at::Tensor exponent = at::arange(0, config_.head_dim, 2).to(at::kFloat) / config_.head_dim;
  const at::Tensor frequency = at::pow(at::Scalar(config_.rope.theta), -exponent);
  const at::Tensor half = at::arange(n).to(at::kFloat).unsqueeze(1) * frequency;
  const at::Tensor angles = at::cat({half, half}, 1);
  const at::Tensor cos = angles.cos().to(dtype_), sin = angles.sin().to(dtype_);
  at::Tensor x = at::embedding(weight("model.embed_tokens"), at::tensor(tokens)).unsqueeze(0);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const std::string mlp = prefix(layer) + "mlp.";
    x = x + attention(layer, norm(x, prefix(layer) + "input_layernorm", fused), cos, sin, fused);
    const at::Tensor normed = norm(x, prefix(layer) + "post_attention_layernorm", fused);
    at::Tensor activated;
    if (fused) {
      const auto parts = at::linear(normed, gate_up_[static_cast<size_t>(layer)]).chunk(2, -1);
      activated = at::silu(parts[0]).mul_(parts[1]);
    } else {
      activated = at::silu(at::linear(normed, weight(mlp + "gate_proj"))) *
                  at::linear(normed, weight(mlp + "up_proj"));
    }
    x = x + at::linear(activated, weight(mlp + "down_proj"));
  }
  const at::Tensor last = norm(x.slice(1, n - 1), "model.norm", fused);
  return at::linear(last, weight("model.embed_tokens"))[0][0].to(at::kFloat);
}

void PrefillModel::products(int64_t num_tokens, bool by_thread) const {
  const int64_t chunk = model::PrefillOptions{}.chunk_tokens;
  const auto options = at::TensorOptions(dtype_);
  const at::Tensor hidden = at::ones({chunk, config_.hidden_size}, options);
  const at::Tensor heads = at::ones({chunk, config_.num_query_heads * config_.head_dim}, options);
  const at::Tensor inner = at::ones({chunk, config_.intermediate_size}, options);
  for (int64_t done = 0; done < num_tokens; done += chunk) {
    const int64_t n = std::min(chunk, num_tokens - done);
    for (const std::vector<at::Tensor>& layer : packed_) {
      static_cast<void>(model::project(hidden.narrow(0, 0, n), layer[0], {}));
      const auto rest = [&](int64_t begin, int64_t end) {
        static_cast<void>(model::project(heads.slice(0, begin, end), layer[1], {}));
        static_cast<void>(model::project(hidden.slice(0, begin, end), layer[2], {}));
        static_cast<void>(model::project(inner.slice(0, begin, end), layer[3], {}));
      };
      if (by_thread) {
        model::for_row_parts(n, rest);
      } else {
        rest(0, n);
      }
    }
  }
}

}  // namespace headscope::benchmarks
