// Budgets that minimise the summed eviction error over layers and KV heads, from measured error
// curves.
#pragma once

#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// Minimises sum over layers and KV heads of w_l f(e(l, k, b(l, k))) under the total, with e the KV
// head's share of the layer's output error and f the square (kSquared) or e itself (kPlain). Why
// squares: a small perturbation of the hidden state costs KL in the second order, the shares of the
// KV heads add up as vectors before the norm, and errors of different heads and layers are hardly
// correlated, so their squares add. Each curve is replaced by its lower convex hull, on which
// taking the unit of largest gain again and again is optimal (Fox 1966); equal gains go to the
// first head. With a context length, a head that keeps all of it has error 0. Beyond the largest
// measured budget nothing is known to be gained; what is left when no gain is left is spread
// evenly. Floor: the observation window, and the smallest measured budget.
class CurveAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "curve"; }
  [[nodiscard]] AllocatorNeeds needs() const override { return {.curves = true}; }

  // The objective of any budgets [num_layers * num_kv_heads], in tokens, on the hulls.
  [[nodiscard]] static double cost(const AllocatorInput& input, const std::vector<int64_t>& tokens);

 protected:
  [[nodiscard]] int64_t own_floor(const AllocatorInput& input) const override;
  void check(const AllocatorInput& input) const override;
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
  void add_notes(const AllocatorInput& input, Allocation& allocation) const override;
};

}  // namespace headscope::analysis
