#include "analysis/plan_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "analysis/curve_statistics.h"
#include "analysis/quantile.h"
#include "analysis/rank_correlation.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// One KV head's squared errors at ascending budgets, read at `budget`.
double squared_at(const ErrorCurves& curves, size_t first, int64_t budget) {
  const auto value = [&](size_t i) {
    if (!curves.kv_head_squared.empty()) {
      return static_cast<double>(curves.kv_head_squared[first + i]);
    }
    const auto error = static_cast<double>(curves.kv_head[first + i]);
    return error * error;
  };
  const std::vector<int64_t>& budgets = curves.budgets;
  const auto above = std::lower_bound(budgets.begin(), budgets.end(), budget);
  if (above == budgets.begin()) return value(0);
  if (above == budgets.end()) return value(budgets.size() - 1);
  const auto i = static_cast<size_t>(above - budgets.begin());
  const double share = static_cast<double>(budget - budgets[i - 1]) /
                       static_cast<double>(budgets[i] - budgets[i - 1]);
  return value(i - 1) + share * (value(i) - value(i - 1));
}

// Means of the rows that `drawn` names; a row of one number is its own mean.
std::vector<double> means(const std::vector<std::vector<double>>& rows,
                          const std::vector<size_t>& drawn) {
  std::vector<double> result;
  for (const std::vector<double>& row : rows) {
    double sum = 0.0;
    for (const size_t prompt : drawn) sum += row[row.size() == 1 ? 0 : prompt];
    result.push_back(sum / static_cast<double>(drawn.size()));
  }
  return result;
}

size_t check_rows(const std::vector<std::vector<double>>& a,
                  const std::vector<std::vector<double>>& b) {
  size_t prompts = 1;
  for (const auto* rows : {&a, &b}) {
    for (const std::vector<double>& row : *rows) prompts = std::max(prompts, row.size());
  }
  for (const auto* rows : {&a, &b}) {
    for (const std::vector<double>& row : *rows) {
      if (row.size() != prompts && row.size() != 1) {
        throw std::invalid_argument("plan_correlation: expected the same prompts for every plan");
      }
    }
  }
  if (a.size() != b.size()) {
    throw std::invalid_argument("plan_correlation: expected the same plans on both sides");
  }
  return prompts;
}

}  // namespace

PlanError predict_plan_error(const ErrorCurves& curves, const BudgetPlan& plan) {
  const auto num_layers = static_cast<int64_t>(plan.budget_tokens.size());
  const size_t heads = plan.budget_tokens.empty() ? 0 : plan.budget_tokens[0].size();
  const size_t budgets = curves.budgets.size();
  if (budgets == 0 || curves.kv_head.size() != plan.budget_tokens.size() * heads * budgets) {
    throw InputError("error curves", "curves of the plan's layers and KV heads",
                     std::to_string(curves.kv_head.size()) + " numbers");
  }
  const std::vector<double> sensitivity = layer_sensitivity(curves, num_layers);
  PlanError error;
  error.weighted = sensitivity.empty() ? kNone : 0.0;
  for (size_t layer = 0; layer < plan.budget_tokens.size(); ++layer) {
    double squared = 0.0;
    for (size_t head = 0; head < heads; ++head) {
      squared +=
          squared_at(curves, (layer * heads + head) * budgets, plan.budget_tokens[layer][head]);
    }
    error.local += std::sqrt(squared) / static_cast<double>(num_layers);
    if (!sensitivity.empty()) error.weighted += sensitivity[layer] * squared;
  }
  return error;
}

Correlation plan_correlation(const std::vector<std::vector<double>>& a,
                             const std::vector<std::vector<double>>& b,
                             const BootstrapOptions& options) {
  const size_t prompts = check_rows(a, b);
  std::vector<size_t> drawn(prompts);
  for (size_t i = 0; i < prompts; ++i) drawn[i] = i;
  Correlation correlation;
  correlation.rho = spearman(means(a, drawn), means(b, drawn));
  std::mt19937_64 random(options.seed);
  std::vector<double> redrawn;
  for (int64_t draw = 0; draw < options.num_resamples; ++draw) {
    for (size_t& prompt : drawn) prompt = random() % prompts;
    const double rho = spearman(means(a, drawn), means(b, drawn));
    if (!std::isnan(rho)) redrawn.push_back(rho);
  }
  std::sort(redrawn.begin(), redrawn.end());
  const double tail = (1.0 - options.confidence) / 2.0;
  correlation.low = redrawn.empty() ? kNone : quantile(redrawn, tail);
  correlation.high = redrawn.empty() ? kNone : quantile(redrawn, 1.0 - tail);
  return correlation;
}

}  // namespace headscope::analysis
