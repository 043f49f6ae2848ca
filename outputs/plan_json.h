// Budget plans as JSON: format "headscope.plan", docs/file_formats.md. All that the runtime reads.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "outputs/budget_plan.h"

namespace headscope::outputs {

inline constexpr const char* kPlanFormat = "headscope.plan";
inline constexpr const char* kPlanFormatVersion = "1.2";

// Throws InputError naming the field when the text is no JSON, the format or its major version is
// another, a field is missing or of the wrong type, shapes disagree, a budget is negative, or a
// selector head is out of range or listed twice. `where` opens the messages (the path).
[[nodiscard]] BudgetPlan plan_from_json(const std::string& text, const std::string& where);
[[nodiscard]] BudgetPlan read_plan_json(const std::filesystem::path& path);

// Throws std::invalid_argument for a plan that its own reader would refuse.
[[nodiscard]] std::string plan_to_json(const BudgetPlan& plan);
void write_plan_json(const BudgetPlan& plan, const std::filesystem::path& path, bool overwrite);

// The plan's `lint`: what the lint holds, and the sizes in bytes that follow from it (0 where the
// bytes of a token are not known).
[[nodiscard]] nlohmann::ordered_json lint_to_json(const PlanLint& lint);

// What both readers of plans check, beyond types: throws InputError naming the field.
void check_plan(const BudgetPlan& plan, const std::string& where);

// Throws ModelMismatch unless the plan was made for this model; `force` forgives another
// fingerprint, never another shape.
void check_plan_fits(const BudgetPlan& plan,
                     const std::string& fingerprint,
                     const ModelShape& shape,
                     bool force);

// "none", "average", "max".
[[nodiscard]] std::string pooling_name(Pooling pooling);
// Throws InputError listing the names.
[[nodiscard]] Pooling pooling_from_name(const std::string& name, const std::string& where);

}  // namespace headscope::outputs
