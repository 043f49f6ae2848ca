// The feed-forward half of a decoder layer: SwiGLU (Shazeer, 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

#include "model/decoder_weights.h"

namespace headscope::model {

// hidden += down(silu(gate(x)) * up(x)), x = rms_norm(hidden).
void add_mlp_(at::Tensor hidden,  // [rows, hidden_size]
              const LayerWeights& weights,
              double eps);

}  // namespace headscope::model
