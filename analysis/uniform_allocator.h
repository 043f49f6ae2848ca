// The same budget for every KV head of every layer.
#pragma once

#include "analysis/allocator.h"

namespace headscope::analysis {

// Floor: the observation window. Below it the window becomes half the budget, which is lint. Extra
// tokens go one each to the first heads.
class UniformAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "uniform"; }

 protected:
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
};

}  // namespace headscope::analysis
