// The CUDA versions of the ops of ops.h: plans and memory of the kernels under kernels/cuda, which
// a KernelLauncher launches. Arguments are those of ops.h, already checked. No call waits for the
// device, and memory comes from LibTorch's caching allocator, so that calls can be captured into a
// CUDA graph. Where no kernel takes the arguments the result is empty, and the caller has the ATen
// composition.
#pragma once

#include "kernels/cuda/launcher.h"
#include "kernels/ops.h"

namespace headscope::kernels {

[[nodiscard]] std::optional<std::vector<at::Tensor>> select_retained_cuda(
    const KernelLauncher& launcher, const at::Tensor& scores, std::span<const int64_t> count);

// The same as one tensor, row after row.
[[nodiscard]] std::optional<at::Tensor> selected_positions_cuda(const KernelLauncher& launcher,
                                                                const at::Tensor& scores,
                                                                std::span<const int64_t> count);

// False where no kernel takes the arguments.
[[nodiscard]] bool compact_kv_cuda(const KernelLauncher& launcher,
                                   const at::Tensor& source,
                                   const at::Tensor& positions,
                                   const at::Tensor& target,
                                   int64_t target_offset);

[[nodiscard]] std::optional<AttentionResult> ragged_attention_cuda(const KernelLauncher& launcher,
                                                                   const at::Tensor& q,
                                                                   const RaggedKv& kv,
                                                                   double scale);

[[nodiscard]] std::optional<at::Tensor> window_importance_cuda(
    const KernelLauncher& launcher,
    const at::Tensor& q,
    const at::Tensor& k,
    double scale,
    std::span<const int64_t> heads,
    const WindowImportanceOptions& options,
    const std::optional<at::Tensor>& lse);

[[nodiscard]] std::optional<at::Tensor> span_attention_cuda(const KernelLauncher& launcher,
                                                            const at::Tensor& q,
                                                            const at::Tensor& k,
                                                            double scale,
                                                            int64_t first_position,
                                                            std::span<const KeySpan> spans,
                                                            const std::optional<at::Tensor>& lse);

// Logits alive at once in top_attended_cuda: 64 MiB.
inline constexpr int64_t kMostLogits = int64_t{1} << 24;

// For top_n up to kMostTopRanked.
[[nodiscard]] std::optional<TopAttended> top_attended_cuda(const KernelLauncher& launcher,
                                                           const at::Tensor& q,
                                                           const at::Tensor& k,
                                                           double scale,
                                                           int64_t first_position,
                                                           int64_t top_n,
                                                           const std::optional<at::Tensor>& lse);

[[nodiscard]] std::optional<at::Tensor> error_curve_cuda(const KernelLauncher& launcher,
                                                         const at::Tensor& q,
                                                         const at::Tensor& k,
                                                         const at::Tensor& v,
                                                         double scale,
                                                         int64_t first_position,
                                                         const at::Tensor& order,
                                                         std::span<const int64_t> cuts,
                                                         int64_t tail_begin);

}  // namespace headscope::kernels
