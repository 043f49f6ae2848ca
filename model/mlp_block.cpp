#include "model/mlp_block.h"

#include <ATen/ATen.h>

#include "model/projection.h"
#include "model/rms_norm.h"
#include "model/swiglu.h"

namespace headscope::model {

void add_mlp_(at::Tensor hidden, const LayerWeights& weights, double eps) {
  const at::Tensor normed = rms_norm(hidden, weights.mlp_norm, eps);
  const at::Tensor gated = swiglu(project(normed, weights.gate_up, weights.gate_up_bias));
  add_projected_(hidden, gated, weights.down, weights.down_bias);
}

}  // namespace headscope::model
