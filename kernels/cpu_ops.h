// The CPU versions of the ops of ops.h, on the tile kernels of the best instruction set. Arguments
// are those of ops.h, already checked; all tensors are on the CPU.
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] AttentionResult ragged_attention_cpu(const at::Tensor& q,
                                                   const RaggedKv& kv,
                                                   double scale);

// causal_attention(). LibTorch's own flash kernel for the CPU takes 1.0 to 1.7 times the processor
// time of this one (float32 and bfloat16, head_dim 64 and 128, AVX2), so it is not used.
[[nodiscard]] AttentionResult tiled_attention_cpu(const at::Tensor& q,
                                                  const at::Tensor& k,
                                                  const at::Tensor& v,
                                                  double scale,
                                                  int64_t attention_window);

// full_attention().
[[nodiscard]] AttentionResult tiled_full_attention_cpu(const at::Tensor& q,
                                                       const at::Tensor& k,
                                                       const at::Tensor& v,
                                                       double scale);

[[nodiscard]] at::Tensor window_importance_cpu(const at::Tensor& q,
                                               const at::Tensor& k,
                                               double scale,
                                               std::span<const int64_t> heads,
                                               const WindowImportanceOptions& options,
                                               const std::optional<at::Tensor>& lse);

// Log-sum-exp (natural) of each row over the keys it sees; rows as in span_attention. [Hq, n].
[[nodiscard]] at::Tensor row_lse_cpu(const at::Tensor& q,
                                     const at::Tensor& k,
                                     double scale,
                                     int64_t first_position);

[[nodiscard]] at::Tensor span_attention_cpu(const at::Tensor& q,
                                            const at::Tensor& k,
                                            double scale,
                                            int64_t first_position,
                                            std::span<const KeySpan> spans,
                                            const std::optional<at::Tensor>& lse);

// For top_n up to kMostTopAttended.
inline constexpr int64_t kMostTopAttended = 256;
[[nodiscard]] TopAttended top_attended_cpu(const at::Tensor& q,
                                           const at::Tensor& k,
                                           double scale,
                                           int64_t first_position,
                                           int64_t top_n,
                                           const std::optional<at::Tensor>& lse);

[[nodiscard]] std::vector<at::Tensor> select_retained_cpu(const at::Tensor& scores,
                                                          std::span<const int64_t> count);

void compact_kv_cpu(const at::Tensor& source,
                    const at::Tensor& positions,
                    const at::Tensor& target,
                    int64_t target_offset);

void compact_layer_kv_cpu(const at::Tensor& source,
                          std::span<const at::Tensor> positions,
                          const at::Tensor& target,
                          std::span<const int64_t> target_offset);

[[nodiscard]] at::Tensor error_curve_cpu(const at::Tensor& q,
                                         const at::Tensor& k,
                                         const at::Tensor& v,
                                         double scale,
                                         int64_t first_position,
                                         const at::Tensor& order,
                                         std::span<const int64_t> cuts,
                                         int64_t tail_begin);

}  // namespace headscope::kernels
