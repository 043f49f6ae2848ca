// CompressKV's layer budgets in proportion to the layers' eviction error (arXiv 2508.02401,
// Algorithm 1, with the residual rule of the published code).
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// B_l = clip(m + round(e_l * (B - m) * L), m, M), rounded half to even; what rounding and clipping
// left over or overspent is then taken up one token per layer and sweep: missing tokens go to
// layers below M from the largest error down, surplus is taken from layers above m from the
// smallest error up, until the sum is B * L. (The paper's own text puts the whole residual on one
// layer.) layer_error need not be normalised. Ties go by layer. 1 <= m <= B <= M, else
// std::invalid_argument.
[[nodiscard]] std::vector<int64_t> error_proportional_budgets(
    const std::vector<double>& layer_error, int64_t budget_tokens, int64_t floor, int64_t ceiling);

// m = 32 and M = 3 B unless asked otherwise; for B < 32 the floor becomes half the budget, which is
// lint. Every KV head of a layer gets the layer's budget. Budgets are not clamped to the context
// length: the lint says what is lost.
class CompressKvAllocator final : public Allocator {
 public:
  static constexpr int64_t kFloorTokens = 32;
  static constexpr int64_t kCeilingFactor = 3;
  [[nodiscard]] std::string name() const override { return "compresskv"; }
  [[nodiscard]] bool needs_layer_error() const override { return true; }
  [[nodiscard]] Allocation allocate(const AllocatorInput& input) const override;
};

}  // namespace headscope::analysis
