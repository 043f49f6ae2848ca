#include "model/mlp_block.h"

#include <ATen/ATen.h>

#include "model/projection.h"
#include "model/rms_norm.h"

namespace headscope::model {

void add_mlp_(at::Tensor hidden, const LayerWeights& weights, double eps) {
  const at::Tensor normed = rms_norm(hidden, weights.mlp_norm, eps);
  const at::Tensor gate_up = project(normed, weights.gate_up, weights.gate_up_bias);
  const int64_t intermediate = gate_up.size(1) / 2;
  at::Tensor activated = at::silu(gate_up.narrow(1, 0, intermediate));
  activated.mul_(gate_up.narrow(1, intermediate, intermediate));
  add_projected_(hidden, activated, weights.down, weights.down_bias);
}

}  // namespace headscope::model
