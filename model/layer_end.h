// What follows attention in a decoder layer: its output projection, then the feed-forward half,
// SwiGLU (Shazeer, 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

#include "model/decoder_weights.h"

namespace headscope::model {

// hidden += output(z); then hidden += down(silu(gate(x)) * up(x)), x = rms_norm(hidden).
void finish_layer_(const at::Tensor& hidden,  // [rows, hidden_size]
                   const at::Tensor& z,       // [rows, Hq * head_dim]
                   const LayerWeights& weights,
                   double eps);

}  // namespace headscope::model
