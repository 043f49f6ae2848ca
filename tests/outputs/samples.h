// A small profile, plan and evaluation with every field set, for round trips and damage.
#pragma once

#include <filesystem>
#include <string>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "outputs/head_profile.h"
#include "outputs/input_error.h"

namespace headscope::outputs {

// 3 layers, 4 query heads on 2 KV heads.
[[nodiscard]] ModelIdentity sample_model();
[[nodiscard]] Provenance sample_provenance();
[[nodiscard]] HeadProfile sample_profile();
[[nodiscard]] BudgetPlan sample_plan();
[[nodiscard]] Evaluation sample_evaluation();

// The message of the InputError that `action` throws; "" when it throws none.
template <typename Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

[[nodiscard]] inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace headscope::outputs
