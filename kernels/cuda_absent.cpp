// Stands in for cuda/cuda_launcher.cu in a build without CUDA.
#include "kernels/cuda/cuda_launcher.h"

namespace headscope::kernels {

const KernelLauncher* cuda_launcher() {
  return nullptr;
}

}  // namespace headscope::kernels
