// A decoder written down once more, from the definition: float64, one projection at a time, one
// sequence, no cache. The oracle of the real one where transformers is not at hand.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"
#include "tests/support/naive_kv_cache.h"

namespace headscope::testing {

class ReferenceDecoder {
 public:
  ReferenceDecoder(const model::ModelConfig& config, std::map<std::string, at::Tensor> tensors)
      : config_(config), tensors_(std::move(tensors)) {}

  // Logits [n, vocab] float64. Plain rotary embedding only.
  [[nodiscard]] at::Tensor logits(const std::vector<int64_t>& tokens) const {
    at::Tensor x = at::index_select(get("model.embed_tokens.weight"), 0, at::tensor(tokens));
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      x = x + attention(norm(x, prefix + "input_layernorm.weight"), prefix + "self_attn.", layer);
      const at::Tensor y = norm(x, prefix + "post_attention_layernorm.weight");
      const at::Tensor gate = linear(y, prefix + "mlp.gate_proj");
      const at::Tensor product = gate / (1.0 + at::exp(-gate)) * linear(y, prefix + "mlp.up_proj");
      x = x + linear(product, prefix + "mlp.down_proj");
    }
    x = norm(x, "model.norm.weight");
    return at::matmul(
        x, get(config_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight").t());
  }

 private:
  [[nodiscard]] at::Tensor get(const std::string& name) const {
    return tensors_.at(name).to(at::kDouble);
  }
  [[nodiscard]] at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor y = at::matmul(x, get(name + ".weight").t());
    return tensors_.contains(name + ".bias") ? y + get(name + ".bias") : y;
  }
  [[nodiscard]] at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    return get(name) * x / at::sqrt((x * x).mean(-1, true) + config_.rms_norm_eps);
  }
  [[nodiscard]] at::Tensor rotated(const at::Tensor& heads) const {  // [n, H, d]
    const int64_t half = config_.head_dim / 2;
    const at::Tensor result = at::empty_like(heads);
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(
          config_.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(2 * half));
      const at::Tensor angle = (at::arange(heads.size(0), at::kDouble) * frequency).unsqueeze(1);
      const at::Tensor a = heads.select(2, i);
      const at::Tensor b = heads.select(2, i + half);
      result.select(2, i).copy_(a * at::cos(angle) - b * at::sin(angle));
      result.select(2, i + half).copy_(b * at::cos(angle) + a * at::sin(angle));
    }
    return result;
  }
  [[nodiscard]] at::Tensor attention(const at::Tensor& x,
                                     const std::string& prefix,
                                     int64_t layer) const {
    const int64_t n = x.size(0);
    const int64_t d = config_.head_dim;
    at::Tensor q = linear(x, prefix + "q_proj").view({n, -1, d});
    at::Tensor k = linear(x, prefix + "k_proj").view({n, -1, d});
    const at::Tensor v = linear(x, prefix + "v_proj").view({n, -1, d});
    if (config_.qk_norm) {
      q = norm(q, prefix + "q_norm.weight");
      k = norm(k, prefix + "k_norm.weight");
    }
    const auto by_head = [](const at::Tensor& t) { return t.transpose(0, 1).unsqueeze(0); };
    const at::Tensor z = naive_attention(by_head(rotated(q)), by_head(rotated(k)), by_head(v),
                                         1.0 / std::sqrt(static_cast<double>(d)),
                                         config_.attention_window[static_cast<size_t>(layer)])
                             .z;
    return linear(z.squeeze(0).transpose(0, 1).reshape({n, -1}), prefix + "o_proj");
  }

  model::ModelConfig config_;
  std::map<std::string, at::Tensor> tensors_;
};

}  // namespace headscope::testing
