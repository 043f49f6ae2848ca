// What the host side of the CUDA kernels asks of a device: one launch for each task. The host side
// (kernels/*_cuda.cpp) plans the work and owns the memory without naming the CUDA runtime, so that
// the same planning can drive the same kernels elsewhere: tests/kernels runs them thread by thread
// on the CPU.
#pragma once

#include <c10/core/Device.h>

#include "kernels/cuda/attention_task.h"
#include "kernels/cuda/compact_task.h"
#include "kernels/cuda/importance_task.h"
#include "kernels/cuda/select_task.h"
#include "kernels/cuda/top_task.h"

namespace headscope::kernels {

class KernelLauncher {
 public:
  virtual ~KernelLauncher() = default;
  // Of the current device.
  [[nodiscard]] virtual int num_multiprocessors() const = 0;
  // Each queues one kernel on the current stream of the current device and returns at once.
  virtual void launch(const SelectTask& task) const = 0;
  virtual void launch(const CompactTask& task) const = 0;
  virtual void launch(const ImportanceTask& task) const = 0;
  virtual void launch(const PoolTask& task) const = 0;
  virtual void launch(const AttentionTask& task) const = 0;
  virtual void launch(const MergeTask& task) const = 0;
  virtual void launch(const MassTask& task) const = 0;
  virtual void launch(const LogitTask& task) const = 0;
  virtual void launch(const RankTask& task) const = 0;
};

// The launcher for tensors on `device`; null where there is none: the CPU, other accelerators, and
// every device in a build without CUDA.
[[nodiscard]] const KernelLauncher* kernel_launcher(const c10::Device& device);

// For tests: tensors of every device go to this launcher until it is reset with null.
void override_kernel_launcher(const KernelLauncher* launcher);

}  // namespace headscope::kernels
