// CompressKV's layer budgets in proportion to the layers' eviction error (arXiv 2508.02401,
// Algorithm 1, with the residual rule of the published code).
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// B_l = clip(m + round(e_l * (T - m L)), m, M), rounded half to even, for a total of T over all
// layers; what rounding and clipping left over or overspent is then taken up one token per layer
// and sweep: missing tokens go to layers below M from the largest error down, surplus is taken from
// layers above m from the smallest error up, until the sum is T. (The paper's own text puts the
// whole residual on one layer.) layer_error need not be normalised. Ties go by layer.
// 1 <= m, m L <= T <= M L, else std::invalid_argument.
[[nodiscard]] std::vector<int64_t> error_proportional_budgets(
    const std::vector<double>& layer_error, int64_t total, int64_t floor, int64_t ceiling);

// m = 32 and M = 3 B unless asked otherwise; for B < 32 the floor becomes half the budget, which is
// lint. Every KV head of a layer gets the layer's budget; the tokens that do not divide by the KV
// heads go one each to heads of the layers with the largest errors. With a context length M is at
// most that, and the residual rule fills the other layers; without one, as in the published code,
// nothing is clamped and the lint says what is lost.
class CompressKvAllocator final : public Allocator {
 public:
  static constexpr int64_t kFloorTokens = 32;
  static constexpr int64_t kCeilingFactor = 3;
  [[nodiscard]] std::string name() const override { return "compresskv"; }
  [[nodiscard]] AllocatorNeeds needs() const override { return {.layer_error = true}; }

 protected:
  [[nodiscard]] int64_t own_floor(const AllocatorInput&) const override { return kFloorTokens; }
  [[nodiscard]] int64_t own_ceiling(const AllocatorInput& input) const override {
    return kCeilingFactor * input.budget_tokens;
  }
  void check(const AllocatorInput& input) const override;
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
};

}  // namespace headscope::analysis
