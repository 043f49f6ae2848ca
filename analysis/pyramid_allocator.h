// PyramidKV's layer budgets (arXiv 2406.02069 and its program): wide at the bottom, narrow at the
// top, in equal steps.
#pragma once

#include "analysis/allocator.h"

namespace headscope::analysis {

// The program's budget of every layer, window included, for a mean of `budget_tokens` and a window
// of `window` tokens (all in tokens per KV head). With b = B - w: min = b // 20, max = 2 b - min;
// where max >= n - w: max = n - w, min = 2 b - max; step = (max - min) // (L - 1);
// B_l = max - l * step + w. The steps are rounded down, so the sum is not B * L: see
// PyramidAllocator. context_length 0 = no limit. One layer gets B.
[[nodiscard]] std::vector<int64_t> pyramid_budgets(int64_t num_layers,
                                                   int64_t budget_tokens,
                                                   int64_t window,
                                                   int64_t context_length);

// pyramid_budgets made exact: what its rounding leaves over or overspends is spread evenly over the
// layers (one token of it per layer, from the first layer on, where it does not divide). Unlike the
// program, which fixes its budgets by the first prompt's length, the context is the one given.
class PyramidAllocator final : public Allocator {
 public:
  static constexpr int64_t kBeta = 20;
  [[nodiscard]] std::string name() const override { return "pyramid"; }

 protected:
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
};

}  // namespace headscope::analysis
