// Root mean square layer normalisation (Zhang and Sennrich, 1910.07467): the mean square in
// float32, the normalised value rounded to the input's dtype, then the weight, in Hugging Face's
// order.
#pragma once

#include <ATen/core/Tensor.h>

namespace headscope::model {

// Over the last dimension. Result contiguous, dtype and shape of x.
[[nodiscard]] at::Tensor rms_norm(const at::Tensor& x,       // [rows, size], size contiguous
                                  const at::Tensor& weight,  // [size]
                                  double eps);

// Every head on its own and in place (the q and k norms of Qwen3).
void rms_norm_heads_(at::Tensor heads,          // [B, n, H, head_dim], last dimension contiguous
                     const at::Tensor& weight,  // [head_dim]
                     double eps);

}  // namespace headscope::model
