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

// False where no kernel takes the arguments.
[[nodiscard]] bool compact_kv_cuda(const KernelLauncher& launcher,
                                   const at::Tensor& source,
                                   const at::Tensor& positions,
                                   const at::Tensor& target,
                                   int64_t target_offset);

}  // namespace headscope::kernels
