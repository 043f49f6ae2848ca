// Causal and full attention through LibTorch's flash kernels, where they are the fastest. Arguments
// are those of ops.h, already checked. (Our own CPU versions are in cpu_ops.h.)
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] AttentionResult causal_attention_cuda(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    double scale,
                                                    int64_t attention_window);

// Ours, but for long blocks of bfloat16 rows on a processor with AMX: LibTorch's flash kernel
// multiplies by tiles on both sides of the softmax there.
[[nodiscard]] AttentionResult causal_attention_cpu(const at::Tensor& q,
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
