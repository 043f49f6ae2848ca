// The launcher of CUDA devices.
#pragma once

#include "kernels/cuda/launcher.h"

namespace headscope::kernels {

// Null in a build without CUDA (kernels/cuda_absent.cpp).
[[nodiscard]] const KernelLauncher* cuda_launcher();

}  // namespace headscope::kernels
