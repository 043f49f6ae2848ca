// A decoder's weights in the form in which the forward pass multiplies with them: q, k and v
// projections in one matrix, gate and up projections in another, all packed (projection.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace headscope::model {

// Hq query heads, Hkv KV heads, d head_dim. Biases and head norms are undefined where the model has
// none.
struct LayerWeights {
  at::Tensor input_norm;      // [hidden]
  at::Tensor qkv;             // [(Hq + 2 Hkv) d, hidden]
  at::Tensor qkv_bias;        // [(Hq + 2 Hkv) d]
  at::Tensor q_norm, k_norm;  // [d]
  at::Tensor output;          // [hidden, Hq d]
  at::Tensor output_bias;     // [hidden]
  at::Tensor mlp_norm;        // [hidden]
  at::Tensor gate_up;         // [2 intermediate, hidden]
  at::Tensor gate_up_bias;    // [2 intermediate]
  at::Tensor down;            // [hidden, intermediate]
  at::Tensor down_bias;       // [hidden]
};

struct DecoderWeights {
  at::Tensor embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // [hidden]
  at::Tensor lm_head;     // [vocab, hidden]; the embedding itself where tied, which stays unpacked

  [[nodiscard]] int64_t bytes() const;  // tied weights counted once
};

// Compares names and shapes (check_weights), then reads tensor by tensor: beside the result at most
// one tensor is held at a time.
[[nodiscard]] DecoderWeights load_decoder_weights(const ModelConfig& config,
                                                  const WeightSource& source,
                                                  at::ScalarType dtype,
                                                  at::Device device);

}  // namespace headscope::model
