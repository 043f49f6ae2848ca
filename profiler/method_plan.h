// From a method's name, a budget and (where the method needs one) a profile to the plan that the
// runtime applies: what `plan` writes, and what `generate --method` and `evaluate` use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "analysis/layer_error.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"

namespace headscope::profiler {

struct MethodOptions {
  std::string score = "srh";   // which score picks the selector heads
  int64_t selector_heads = 4;  // per layer, 1..num_query_heads
  std::string curves;          // which error curves; empty = the only ones there are
  analysis::ErrorSteps error_steps = analysis::ErrorSteps::kSummed;
  SelectionOptions selection;         // of selector methods; others bring their own defaults
  int64_t context_length = 0;         // for the lint; 0 = not given
  std::optional<int64_t> min_tokens;  // per KV head; default: the allocator's own floor
  std::optional<int64_t> max_tokens;  // per KV head; default: the allocator's own ceiling
};

// A plan for the compresskv runtime method with budgets by `allocator` ("uniform", "compresskv")
// and the profile's best heads of each layer as selectors. InputError, naming what is missing: no
// such score, no successful probe, no error curves.
[[nodiscard]] BudgetPlan plan_from_profile(const HeadProfile& profile,
                                           const std::string& allocator,
                                           int64_t budget_tokens,
                                           const MethodOptions& options = {});

// The plan of a runtime method at a mean of `budget_tokens` per KV head. `profile` may be null
// where the method needs none. InputError for an unknown method, or a missing profile.
[[nodiscard]] BudgetPlan plan_for_method(const std::string& method,
                                         int64_t budget_tokens,
                                         const ModelIdentity& model,
                                         const HeadProfile* profile,
                                         const MethodOptions& options = {});

}  // namespace headscope::profiler
