// HeadKV's budgets by head score (arXiv 2410.19258, Eq. 4 and the published program).
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// The program's own arithmetic: b = B - w; pool = (b // beta) N heads; cap = round(S pool + b - b
// // beta) + w with S the scores over their sum, `//` floor division of floating-point numbers and
// rounding half to even. Nothing is clamped and rounding is not made up for: the sum is B N only by
// chance. scores: one per head, >= 0, not all 0. B >= w >= 0, beta >= 1.
[[nodiscard]] std::vector<int64_t> headkv_published_budgets(const std::vector<double>& scores,
                                                            int64_t budget_tokens,
                                                            int64_t window,
                                                            double beta);

// Head scores of a group of query heads become one per KV head by `reduction` (sum: the group's
// mass), normalised over all KV heads: S. Every KV head gets b - b / beta, the score's share of the
// pool (b / beta) L K, and the window; b = B - w. What a head cannot use (context length, ceiling)
// and what rounding leaves goes to the others in proportion to their scores, and evenly once heads
// with a score are full. As published (`as_published`): headkv_published_budgets over the KV heads,
// with no clamp and no redistribution; the lint says what is lost.
class HeadKvAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "headkv"; }
  [[nodiscard]] AllocatorNeeds needs() const override { return {.head_scores = true}; }
  [[nodiscard]] Allocation allocate(const AllocatorInput& input) const override;

 protected:
  void check(const AllocatorInput& input) const override;
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
};

}  // namespace headscope::analysis
