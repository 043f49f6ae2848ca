// Causal attention through the fastest attention that LibTorch has on the device. Arguments are
// those of ops.h, already checked.
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] AttentionResult causal_attention_cpu(const at::Tensor& q,
                                                   const at::Tensor& k,
                                                   const at::Tensor& v,
                                                   double scale,
                                                   int64_t attention_window);

[[nodiscard]] AttentionResult causal_attention_cuda(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    double scale,
                                                    int64_t attention_window);

// Joins attention over two disjoint key sets, both with a finite log-sum-exp in every row: exact,
// and in any order. z is [.., n, d], lse [.., n].
[[nodiscard]] AttentionResult merge_attention(const AttentionResult& a, const AttentionResult& b);

}  // namespace headscope::kernels
