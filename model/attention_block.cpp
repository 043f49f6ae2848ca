#include "model/attention_block.h"

#include <ATen/ATen.h>

#include <cmath>

#include "model/projection.h"
#include "model/rms_norm.h"

namespace headscope::model {

at::Tensor attend_layer(const ModelConfig& config,
                        const LayerWeights& weights,
                        int64_t layer,
                        const at::Tensor& hidden,
                        const ForwardPass& pass) {
  const int64_t hq = config.num_query_heads;
  const int64_t hkv = config.num_kv_heads;
  const at::Tensor normed = rms_norm(hidden, weights.input_norm, config.rms_norm_eps);
  // q, k and v stay views of one product, rotated in place; no head is copied before the cache
  // does.
  const at::Tensor qkv = project(normed, weights.qkv, weights.qkv_bias)
                             .view({pass.batch, pass.num_tokens, hq + 2 * hkv, config.head_dim});
  if (weights.q_norm.defined()) {
    rms_norm_heads_(qkv.narrow(2, 0, hq), weights.q_norm, config.rms_norm_eps);
    rms_norm_heads_(qkv.narrow(2, hq, hkv), weights.k_norm, config.rms_norm_eps);
  }
  const auto sequences_per_table = pass.batch / static_cast<int64_t>(pass.rotary.size());
  for (size_t i = 0; i < pass.rotary.size(); ++i) {
    const at::Tensor of_table =
        qkv.narrow(0, static_cast<int64_t>(i) * sequences_per_table, sequences_per_table);
    rotate_heads_(of_table.narrow(2, 0, hq + hkv), pass.rotary[i]);
  }

  const at::Tensor by_head = qkv.transpose(1, 2);
  const auto window =
      config.attention_window.empty() ? 0 : config.attention_window[static_cast<size_t>(layer)];
  runtime::LayerStep step{.layer = layer,
                          .q = by_head.narrow(1, 0, hq),
                          .k = by_head.narrow(1, hq, hkv),
                          .v = by_head.narrow(1, hq + hkv, hkv),
                          .scale = 1.0 / std::sqrt(static_cast<double>(config.head_dim)),
                          .attention_window = window};
  runtime::LayerAttention attention = pass.cache->attend(step);
  if (pass.head_mask != nullptr) attention.z = pass.head_mask->apply(layer, attention.z);
  if (pass.observer != nullptr) {
    pass.observer->on_layer({.layer = layer,
                             .first_position = pass.first_position,
                             .scale = step.scale,
                             .attention_window = window,
                             .q = step.q,
                             .k = step.k,
                             .v = step.v,
                             .z = attention.z,
                             .lse = attention.lse});
  }
  return attention.z.transpose(1, 2).reshape({pass.batch, pass.num_tokens, hq * config.head_dim});
}

}  // namespace headscope::model
