// A plan in words, as `plan` and `inspect` print it.
#pragma once

#include <string>

#include "outputs/budget_plan.h"

namespace headscope::cli {

// Budgets by layer, sizes, what every context length asked for can use, and the notes.
[[nodiscard]] std::string plan_text(const BudgetPlan& plan);

}  // namespace headscope::cli
