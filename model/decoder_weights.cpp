#include "model/decoder_weights.h"

#include <ATen/ATen.h>

#include "model/config_check.h"
#include "model/projection.h"

namespace headscope::model {
namespace {

std::string layer_prefix(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

class Loader {
 public:
  Loader(const WeightSource& source, at::ScalarType dtype, at::Device device)
      : source_(source), dtype_(dtype), device_(device) {}

  [[nodiscard]] at::Tensor one(const std::string& name) const {
    return source_.load(name, dtype_, device_);
  }

  // Rows of several tensors one below the other, copied straight to their place.
  [[nodiscard]] at::Tensor stacked(const std::vector<std::string>& names, int64_t rows) const {
    at::Tensor result;
    int64_t row = 0;
    for (const std::string& name : names) {
      const at::Tensor part = one(name);
      if (!result.defined()) {
        std::vector<int64_t> dims = part.sizes().vec();
        dims[0] = rows;
        result = at::empty(dims, part.options());
      }
      result.narrow(0, row, part.size(0)).copy_(part);
      row += part.size(0);
    }
    return result;
  }

 private:
  const WeightSource& source_;
  at::ScalarType dtype_;
  at::Device device_;
};

LayerWeights load_layer(const ModelConfig& config, const Loader& load, int64_t layer) {
  const std::string prefix = layer_prefix(layer);
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  const int64_t qkv_rows = (config.num_query_heads + 2 * config.num_kv_heads) * config.head_dim;
  const auto stack_qkv = [&](const std::string& part) {
    return load.stacked(
        {attention + "q_proj" + part, attention + "k_proj" + part, attention + "v_proj" + part},
        qkv_rows);
  };
  const auto stack_gate_up = [&](const std::string& part) {
    return load.stacked({mlp + "gate_proj" + part, mlp + "up_proj" + part},
                        2 * config.intermediate_size);
  };
  LayerWeights weights;
  weights.input_norm = load.one(prefix + "input_layernorm.weight");
  weights.qkv = packed_weight(stack_qkv(".weight"));
  if (config.qkv_bias) weights.qkv_bias = stack_qkv(".bias");
  if (config.qk_norm) {
    weights.q_norm = load.one(attention + "q_norm.weight");
    weights.k_norm = load.one(attention + "k_norm.weight");
  }
  weights.output = packed_weight(load.one(attention + "o_proj.weight"));
  if (config.output_bias) weights.output_bias = load.one(attention + "o_proj.bias");
  weights.mlp_norm = load.one(prefix + "post_attention_layernorm.weight");
  weights.gate_up = packed_weight(stack_gate_up(".weight"));
  weights.down = packed_weight(load.one(mlp + "down_proj.weight"));
  if (config.mlp_bias) {
    weights.gate_up_bias = stack_gate_up(".bias");
    weights.down_bias = load.one(mlp + "down_proj.bias");
  }
  return weights;
}

}  // namespace

DecoderWeights load_decoder_weights(const ModelConfig& config,
                                    const WeightSource& source,
                                    at::ScalarType dtype,
                                    at::Device device) {
  check_weights(config, source, "weights");
  const Loader load(source, dtype, device);
  DecoderWeights weights;
  weights.embedding = load.one("model.embed_tokens.weight");
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    weights.layers.push_back(load_layer(config, load, layer));
  }
  weights.final_norm = load.one("model.norm.weight");
  weights.lm_head =
      config.tie_word_embeddings ? weights.embedding : packed_weight(load.one("lm_head.weight"));
  return weights;
}

int64_t DecoderWeights::bytes() const {
  size_t total = embedding.nbytes() + final_norm.nbytes();
  if (!lm_head.is_same(embedding)) total += lm_head.nbytes();
  for (const LayerWeights& layer : layers) {
    for (const at::Tensor* tensor :
         {&layer.input_norm, &layer.qkv, &layer.qkv_bias, &layer.q_norm, &layer.k_norm,
          &layer.output, &layer.output_bias, &layer.mlp_norm, &layer.gate_up, &layer.gate_up_bias,
          &layer.down, &layer.down_bias}) {
      if (tensor->defined()) total += tensor->nbytes();
    }
  }
  return static_cast<int64_t>(total);
}

}  // namespace headscope::model
