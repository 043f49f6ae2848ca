#include "model/projection.h"

#include <ATen/ATen.h>

namespace headscope::model {

at::Tensor project(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& bias) {
  if (bias.defined()) return at::addmm(bias, rows, weight.t());
  return at::mm(rows, weight.t());
}

void add_projected_(at::Tensor sum,
                    const at::Tensor& rows,
                    const at::Tensor& weight,
                    const at::Tensor& bias) {
  sum.addmm_(rows, weight.t());
  if (bias.defined()) sum.add_(bias);
}

}  // namespace headscope::model
