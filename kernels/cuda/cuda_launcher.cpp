#include "kernels/cuda/cuda_launcher.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/launches.h"

namespace headscope::kernels {
namespace {

cudaStream_t current_stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

class CudaLauncher final : public KernelLauncher {
 public:
  [[nodiscard]] int num_multiprocessors() const override {
    int count = 0;
    C10_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount,
                                          c10::cuda::current_device()));
    return count;
  }
  void launch(const SelectTask& task) const override {
    C10_CUDA_CHECK(launch_select(task, current_stream()));
  }
  void launch(const CompactTask& task) const override {
    C10_CUDA_CHECK(launch_compact(task, current_stream()));
  }
  void launch(const ImportanceTask& task) const override {
    C10_CUDA_CHECK(launch_importance(task, current_stream()));
  }
  void launch(const PoolTask& task) const override {
    C10_CUDA_CHECK(launch_pool(task, current_stream()));
  }
  void launch(const AttentionTask& task) const override {
    C10_CUDA_CHECK(launch_attention(task, current_stream()));
  }
  void launch(const MergeTask& task) const override {
    C10_CUDA_CHECK(launch_merge(task, current_stream()));
  }
  void launch(const MassTask& task) const override {
    C10_CUDA_CHECK(launch_mass(task, current_stream()));
  }
  void launch(const LogitTask& task) const override {
    C10_CUDA_CHECK(launch_logits(task, current_stream()));
  }
  void launch(const RankTask& task) const override {
    C10_CUDA_CHECK(launch_rank(task, current_stream()));
  }
};

}  // namespace

const KernelLauncher* cuda_launcher() {
  static const CudaLauncher launcher;
  return &launcher;
}

}  // namespace headscope::kernels
