// Causal attention on a GPU, through LibTorch's flash kernel where it has one. Arguments are those
// of ops.h, already checked. (The CPU version is tiled_attention_cpu of cpu_ops.h.)
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] AttentionResult causal_attention_cuda(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    double scale,
                                                    int64_t attention_window);

}  // namespace headscope::kernels
