// The same budget for every KV head of every layer.
#pragma once

#include "analysis/allocator.h"

namespace headscope::analysis {

// Floor: the observation window. Below it the window becomes half the budget, which is lint.
class UniformAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "uniform"; }
  [[nodiscard]] bool needs_layer_error() const override { return false; }
  [[nodiscard]] Allocation allocate(const AllocatorInput& input) const override;
};

}  // namespace headscope::analysis
