// What error curves say of a whole plan before it is run, and whether such a cheap figure orders
// plans as the costly ones do.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/bootstrap.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"

namespace headscope::analysis {

struct PlanError {
  // Mean over layers of sqrt(sum over KV heads of squared relative error): a layer's relative
  // output error under the plan, its heads' shares taken as orthogonal.
  double local = 0.0;
  // sum over layers of layer_sensitivity() times the sum of squares; NaN where not measured.
  double weighted = 0.0;
};

// Errors between two measured budgets are linear in the budget; below the first and above the last
// they stay as there. InputError where the curves are not of the plan's shape.
[[nodiscard]] PlanError predict_plan_error(const ErrorCurves& curves, const BudgetPlan& plan);

// Spearman's rank correlation of two figures over plans, with a percentile bootstrap over prompts.
struct Correlation {
  double rho = 0.0;  // NaN where one of the figures is the same for every plan
  double low = 0.0;
  double high = 0.0;
};

// Both [num_plans][num_prompts] of the same prompts, or [num_plans][1] for a figure that no prompt
// changes; plans are compared by their means. Prompts are redrawn together for all plans and both
// figures. std::invalid_argument where sizes disagree.
[[nodiscard]] Correlation plan_correlation(const std::vector<std::vector<double>>& a,
                                           const std::vector<std::vector<double>>& b,
                                           const BootstrapOptions& options = {});

}  // namespace headscope::analysis
