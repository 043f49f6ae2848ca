// The CUDA kernels on tensors of the CPU: a KernelLauncher whose launches run on the emulator.
#pragma once

#include <cstdint>

#include "kernels/cuda/launcher.h"

namespace headscope::kernels {

class EmulatedLauncher final : public KernelLauncher {
 public:
  explicit EmulatedLauncher(uint64_t seed) : seed_(seed) {}

  // Few, so that blocks get more than one piece of work and rows are shared.
  [[nodiscard]] int num_multiprocessors() const override { return 6; }
  void launch(const SelectTask& task) const override;
  void launch(const CompactTask& task) const override;
  void launch(const ImportanceTask& task) const override;
  void launch(const PoolTask& task) const override;
  void launch(const AttentionTask& task) const override;
  void launch(const MergeTask& task) const override;
  void launch(const MassTask& task) const override;
  void launch(const LogitTask& task) const override;
  void launch(const RankTask& task) const override;

  // Launches so far.
  [[nodiscard]] int launches() const { return launches_; }

 private:
  uint64_t next_seed() const { return seed_ + static_cast<uint64_t>(launches_++); }

  uint64_t seed_;
  mutable int launches_ = 0;
};

}  // namespace headscope::kernels
