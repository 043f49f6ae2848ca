// What a plan's budgets come to: sizes, and what a context of some length can use of them.
#pragma once

#include <cstdint>
#include <vector>

#include "outputs/budget_plan.h"

namespace headscope::analysis {

// Sizes and warnings for any budgets [num_layers][num_kv_heads]. `contexts`: prompt lengths in
// tokens, the first of them the one that the plan is for; empty = not given (then usable =
// nominal). `bytes_per_token`: key and value of one token in one KV head; 0 = not known.
[[nodiscard]] PlanLint lint_budgets(const std::vector<std::vector<int64_t>>& budget_tokens,
                                    const std::vector<int64_t>& contexts,
                                    int64_t bytes_per_token = 0);

}  // namespace headscope::analysis
