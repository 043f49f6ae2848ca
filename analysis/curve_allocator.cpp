#include "analysis/curve_allocator.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "analysis/error_hull.h"
#include "analysis/share_lines.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

// What the objective sums for one KV head at one measured budget.
double term_at(const AllocatorInput& input, size_t index) {
  const HeadErrorCurves& curves = input.curves;
  if (input.objective == CurveObjective::kPlain) return curves.error[index];
  return curves.squared_error.empty() ? curves.error[index] * curves.error[index]
                                      : curves.squared_error[index];
}

// The hull of one KV head's curve, `head` counted over layers and KV heads.
std::vector<HullPoint> hull_of(const AllocatorInput& input, size_t head) {
  const HeadErrorCurves& curves = input.curves;
  const size_t num_budgets = curves.budgets.size();
  const size_t layer = head / static_cast<size_t>(input.shape.num_kv_heads);
  const double weight = input.layer_weights.empty() ? 1.0 : input.layer_weights[layer];
  std::vector<HullPoint> points;
  for (size_t i = 0; i < num_budgets; ++i) {
    const int64_t budget = curves.budgets[i];
    if (input.context_length > 0 && budget >= input.context_length) break;
    points.push_back(
        {static_cast<double>(budget), weight * term_at(input, head * num_budgets + i)});
  }
  // A head that keeps everything errs by nothing.
  if (input.context_length > 0) {
    points.push_back({static_cast<double>(input.context_length), 0.0});
  }
  return error_hull(points);
}

struct HeadRun {
  size_t head = 0;
  GainRun run;
};

void check_values(const AllocatorInput& input, const std::vector<double>& errors) {
  const auto num_heads = static_cast<size_t>(input.shape.num_layers * input.shape.num_kv_heads);
  const size_t num_budgets = input.curves.budgets.size();
  if (errors.size() != num_heads * num_budgets) {
    throw InputError("error curves",
                     "errors [num_layers, num_kv_heads, num_budgets] = " +
                         std::to_string(num_heads * num_budgets) + " numbers",
                     std::to_string(errors.size()), "Calibrate again.");
  }
  for (size_t i = 0; i < errors.size(); ++i) {
    if (!std::isfinite(errors[i]) || errors[i] < 0.0) {
      const size_t head = i / num_budgets;
      const auto heads = static_cast<size_t>(input.shape.num_kv_heads);
      throw InputError("error curves, layer " + std::to_string(head / heads) + ", KV head " +
                           std::to_string(head % heads),
                       "a finite error of at least 0", std::to_string(errors[i]),
                       "Calibrate again.");
    }
  }
  if (std::all_of(errors.begin(), errors.end(), [](double error) { return error == 0.0; })) {
    throw InputError("error curves", "an error above 0 somewhere", "zero everywhere",
                     "Calibrate with prompts longer than the budgets, or plan with uniform.");
  }
}

void check_weights(const AllocatorInput& input) {
  const std::vector<double>& weights = input.layer_weights;
  if (weights.empty()) return;
  const bool all_positive = std::all_of(weights.begin(), weights.end(), [](double weight) {
    return std::isfinite(weight) && weight > 0.0;
  });
  if (static_cast<int64_t>(weights.size()) != input.shape.num_layers || !all_positive) {
    throw InputError("layer weights",
                     std::to_string(input.shape.num_layers) + " finite numbers above 0",
                     all_positive ? std::to_string(weights.size()) + " of them" : "others");
  }
}

}  // namespace

double CurveAllocator::cost(const AllocatorInput& input, const std::vector<int64_t>& tokens) {
  double cost = 0.0;
  for (size_t head = 0; head < tokens.size(); ++head) {
    cost += hull_error(hull_of(input, head), static_cast<double>(tokens[head]));
  }
  return cost;
}

int64_t CurveAllocator::own_floor(const AllocatorInput& input) const {
  const int64_t first = input.curves.budgets.empty() ? 1 : input.curves.budgets.front();
  return std::max(Allocator::own_floor(input), first);
}

void CurveAllocator::check(const AllocatorInput& input) const {
  const HeadErrorCurves& curves = input.curves;
  if (curves.budgets.empty()) {
    throw InputError("error curves", "the errors of every KV head", "none",
                     "Run headscope calibrate on the profile first.");
  }
  if (curves.budgets.front() < 1 ||
      std::adjacent_find(curves.budgets.begin(), curves.budgets.end(),
                         [](int64_t a, int64_t b) { return a >= b; }) != curves.budgets.end()) {
    throw InputError("error curves", "budgets above 0 in ascending order", "others",
                     "Calibrate again.");
  }
  check_values(input, curves.error);
  if (!curves.squared_error.empty()) check_values(input, curves.squared_error);
  check_weights(input);
}

std::vector<int64_t> CurveAllocator::share_out(const ShareProblem& problem) const {
  std::vector<HeadRun> runs;
  for (size_t head = 0; head < problem.num_heads(); ++head) {
    for (const GainRun& run : gain_runs(hull_of(problem.input, head), problem.floor,
                                        problem.ceiling, problem.input.page_tokens)) {
      if (run.gain > 0.0) runs.push_back({head, run});
    }
  }
  // Gains fall along every head's runs, so the order of a head's own runs is kept.
  std::stable_sort(runs.begin(), runs.end(),
                   [](const HeadRun& a, const HeadRun& b) { return a.run.gain > b.run.gain; });
  std::vector<int64_t> budgets(problem.num_heads(), problem.floor);
  int64_t left = problem.total - problem.floor * static_cast<int64_t>(problem.num_heads());
  for (const HeadRun& next : runs) {
    const int64_t taken = std::min(left, next.run.units);
    budgets[next.head] += taken;
    left -= taken;
  }
  if (left == 0) return budgets;
  std::vector<ShareLine> lines;
  for (const int64_t budget : budgets) {
    lines.push_back({.base = static_cast<double>(budget),
                     .slope = 1.0,
                     .low = budget,
                     .high = problem.ceiling});
  }
  return share_along(lines, problem.total);
}

void CurveAllocator::add_notes(const AllocatorInput& input, Allocation& allocation) const {
  const int64_t measured = input.curves.budgets.back();
  int64_t beyond = 0;
  for (const std::vector<int64_t>& layer : allocation.budget_tokens) {
    beyond += std::count_if(layer.begin(), layer.end(),
                            [&](int64_t budget) { return budget > measured; });
  }
  if (beyond > 0) {
    allocation.lint.notes.push_back(std::to_string(beyond) +
                                    " KV heads have budgets above the largest measured one of " +
                                    std::to_string(measured) + " tokens, where no gain is known");
  }
}

}  // namespace headscope::analysis
