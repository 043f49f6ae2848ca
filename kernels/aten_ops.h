// Every op of ops.h as a composition of public ATen functions: runs on any device, in float32, with
// transient memory bounded by kAtenBlockElements logits (or one query row). It is the path of
// devices that have no kernel of ours, and the second opinion in the tests. Arguments are those of
// ops.h, already checked.
#pragma once

#include "kernels/ops.h"

namespace headscope::kernels {

// float32 logits alive at once in one composition: 16 Mi elements = 64 MiB.
inline constexpr int64_t kAtenBlockElements = int64_t{1} << 24;

[[nodiscard]] AttentionResult causal_attention_aten(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    double scale,
                                                    int64_t attention_window);

[[nodiscard]] AttentionResult full_attention_aten(const at::Tensor& q,
                                                  const at::Tensor& k,
                                                  const at::Tensor& v,
                                                  double scale);

[[nodiscard]] AttentionResult ragged_attention_aten(const at::Tensor& q,
                                                    const RaggedKv& kv,
                                                    double scale);

[[nodiscard]] at::Tensor window_importance_aten(const at::Tensor& q,
                                                const at::Tensor& k,
                                                double scale,
                                                std::span<const int64_t> heads,
                                                const WindowImportanceOptions& options,
                                                const std::optional<at::Tensor>& lse);

// The pooling step of window_importance alone, on [..., n] scores.
[[nodiscard]] at::Tensor pool_scores_aten(const at::Tensor& scores,
                                          WindowPooling pooling,
                                          int64_t pooling_kernel);

// Log-sum-exp of each row over the keys it sees. Rows as in span_attention. Result [Hq, n] float32.
[[nodiscard]] at::Tensor row_lse_aten(const at::Tensor& q,
                                      const at::Tensor& k,
                                      double scale,
                                      int64_t first_position);

[[nodiscard]] at::Tensor span_attention_aten(const at::Tensor& q,
                                             const at::Tensor& k,
                                             double scale,
                                             int64_t first_position,
                                             std::span<const KeySpan> spans,
                                             const std::optional<at::Tensor>& lse);

[[nodiscard]] TopAttended top_attended_aten(const at::Tensor& q,
                                            const at::Tensor& k,
                                            double scale,
                                            int64_t first_position,
                                            int64_t top_n,
                                            const std::optional<at::Tensor>& lse);

[[nodiscard]] std::vector<at::Tensor> select_retained_aten(const at::Tensor& scores,
                                                           std::span<const int64_t> count);

void compact_kv_aten(const at::Tensor& source,
                     const at::Tensor& positions,
                     const at::Tensor& target,
                     int64_t target_offset);

[[nodiscard]] at::Tensor error_curve_aten(const at::Tensor& q,
                                          const at::Tensor& k,
                                          const at::Tensor& v,
                                          double scale,
                                          int64_t first_position,
                                          const at::Tensor& order,
                                          std::span<const int64_t> cuts,
                                          int64_t tail_begin);

}  // namespace headscope::kernels
