// The attention half of a decoder layer, up to (not including) the output projection.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/decoder_weights.h"
#include "model/head_mask.h"
#include "model/observer.h"
#include "model/rotary.h"
#include "runtime/kv_cache.h"

namespace headscope::model {

// What is the same for all layers of one forward pass.
struct ForwardPass {
  int64_t batch = 0;           // B
  int64_t num_tokens = 0;      // n, per sequence
  int64_t first_position = 0;  // of the first new token, padding included
  // One for all sequences, or one for each where their own positions differ (padding).
  std::vector<RotaryTable> rotary;
  runtime::KvCache* cache = nullptr;    // not owned
  Observer* observer = nullptr;         // not owned, may be null
  const HeadMask* head_mask = nullptr;  // not owned, may be null
};

// Normalises, projects to q, k and v, rotates, lets the cache attend, masks heads, shows all of it
// to the observer. Returns z with the heads side by side: [B, n, Hq * head_dim].
[[nodiscard]] at::Tensor attend_layer(const ModelConfig& config,
                                      const LayerWeights& weights,
                                      int64_t layer,
                                      const at::Tensor& hidden,  // [B * n, hidden_size]
                                      const ForwardPass& pass);

}  // namespace headscope::model
