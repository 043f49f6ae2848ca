#include "model/layer_end.h"

#include <ATen/ATen.h>

#include "model/projection.h"
#include "model/rms_norm.h"
#include "model/row_tasks.h"
#include "model/swiglu.h"

namespace headscope::model {
namespace {

void add_mlp_(const at::Tensor& hidden, const LayerWeights& weights, double eps) {
  const at::Tensor normed = rms_norm(hidden, weights.mlp_norm, eps);
  const at::Tensor gated = swiglu(project(normed, weights.gate_up, weights.gate_up_bias));
  add_projected_(hidden, gated, weights.down, weights.down_bias);
}

}  // namespace

void finish_layer_(const at::Tensor& hidden,
                   const at::Tensor& z,
                   const LayerWeights& weights,
                   double eps) {
  const auto finish = [&](int64_t begin, int64_t end) {
    const at::Tensor part = hidden.slice(0, begin, end);
    add_projected_(part, z.slice(0, begin, end), weights.output, weights.output_bias);
    add_mlp_(part, weights, eps);
  };
  // No row looks at another one. With enough of them each thread takes its own through all of it:
  // what it has just written is in its cache, and none waits for another one between the products.
  constexpr int64_t kFewestOfThread = 256;  // fewer take a product off its rate
  const int64_t rows = hidden.size(0);
  if (hidden.is_cpu() && rows_suffice(rows, kFewestOfThread)) {
    for_row_parts(rows, finish);
  } else {
    finish(0, rows);
  }
}

}  // namespace headscope::model
