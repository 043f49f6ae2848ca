#include "analysis/layer_error.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

std::string list_of(const std::vector<int64_t>& numbers) {
  std::string text;
  for (const int64_t number : numbers) {
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  }
  return text.empty() ? "none" : text;
}

size_t index_of_budget(const ErrorCurves& curves, int64_t budget) {
  const auto found = std::find(curves.budgets.begin(), curves.budgets.end(), budget);
  if (found == curves.budgets.end()) {
    throw InputError("error curves", "an error measured at " + std::to_string(budget) + " tokens",
                     "the budgets " + list_of(curves.budgets),
                     "Calibrate again with this budget among --budgets.");
  }
  return static_cast<size_t>(found - curves.budgets.begin());
}

// [num_layers] of one task at one budget.
Eigen::ArrayXd errors_of_task(const ErrorCurves& curves,
                              const std::vector<float>& samples,
                              size_t task,
                              int64_t num_layers,
                              size_t budget) {
  const size_t num_budgets = curves.budgets.size();
  Eigen::ArrayXd errors(num_layers);
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    const size_t row = task * static_cast<size_t>(num_layers) + static_cast<size_t>(layer);
    const float error = samples[row * num_budgets + budget];
    if (!std::isfinite(error) || error < 0.0F) {
      throw InputError(
          "error curves, task " + curves.tasks[task] + ", layer " + std::to_string(layer),
          "a finite error of at least 0", std::to_string(error), "Calibrate again.");
    }
    errors[layer] = static_cast<double>(error);
  }
  return errors;
}

}  // namespace

LayerError layer_error(const ErrorCurves& curves,
                       int64_t num_layers,
                       const LayerErrorOptions& options) {
  const std::vector<float>& samples =
      options.steps == ErrorSteps::kSummed ? curves.samples_summed : curves.samples;
  const size_t expected_size =
      curves.tasks.size() * static_cast<size_t>(num_layers) * curves.budgets.size();
  const size_t budget = index_of_budget(curves, options.budget);
  if (samples.size() != expected_size) {
    throw InputError("error curves",
                     "samples [num_tasks, num_layers, num_budgets] = " +
                         std::to_string(expected_size) + " numbers",
                     std::to_string(samples.size()), "Calibrate again.");
  }

  LayerError result;
  Eigen::ArrayXd total = Eigen::ArrayXd::Zero(num_layers);
  int64_t num_used = 0;
  for (size_t task = 0; task < curves.tasks.size(); ++task) {
    const Eigen::ArrayXd errors = errors_of_task(curves, samples, task, num_layers, budget);
    const double sum = errors.sum();
    if (sum > 0.0) {
      total += (curves.task_weights.empty() ? 1.0 : curves.task_weights[task]) * errors / sum;
      ++num_used;
    } else {
      result.notes.push_back("task " + curves.tasks[task] + " shows no eviction error at " +
                             std::to_string(options.budget) +
                             " tokens and is left out: its prompts are too short");
    }
  }
  if (num_used == 0) {
    throw InputError("error curves", "at least one task with an eviction error", "none",
                     "Calibrate with prompts longer than the budget.");
  }
  // Every task's share sums to 1, so this is the mean over the tasks used, by their weights.
  total /= total.sum();
  result.values.assign(total.data(), total.data() + total.size());
  return result;
}

}  // namespace headscope::analysis
