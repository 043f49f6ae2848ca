// Causal and full attention on a GPU, through LibTorch's flash kernel where it has one. Arguments
// are those of ops.h, already checked. (The CPU versions are in cpu_ops.h.)
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] AttentionResult causal_attention_cuda(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    double scale,
                                                    int64_t attention_window);

// full_attention() of ops.h.
[[nodiscard]] AttentionResult full_attention_cuda(const at::Tensor& q,
                                                  const at::Tensor& k,
                                                  const at::Tensor& v,
                                                  double scale);

}  // namespace headscope::kernels
