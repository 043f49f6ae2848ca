#include "profiler/cli/curve_report.h"

#include <cmath>
#include <cstdio>
#include <sstream>

#include "analysis/curve_statistics.h"
#include "outputs/input_error.h"

namespace headscope::cli {
namespace {

constexpr const char* kColumnNote =
    "relative output error per layer (rows) at tokens kept (columns); ± is half the 95 % interval "
    "over tasks";

// At most seven budgets that fit a line, the first and the last that show an error among them.
std::vector<size_t> shown_budgets(const ErrorCurves& curves, int64_t num_layers) {
  std::vector<size_t> with_error;
  const size_t num_budgets = curves.budgets.size();
  for (size_t b = 0; b < num_budgets; ++b) {
    for (size_t layer = 0; layer < static_cast<size_t>(num_layers); ++layer) {
      if (curves.layer[layer * num_budgets + b] > 0.0F) {
        with_error.push_back(b);
        break;
      }
    }
  }
  constexpr size_t kMost = 7;
  if (with_error.size() <= kMost) return with_error;
  std::vector<size_t> shown;
  for (size_t i = 0; i < kMost; ++i) {
    shown.push_back(with_error[i * (with_error.size() - 1) / (kMost - 1)]);
  }
  return shown;
}

std::string cell(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

Json rows_of(const std::vector<double>& values, int64_t num_layers) {
  Json rows = Json::array();
  const auto columns = static_cast<int64_t>(values.size()) / num_layers;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    const auto first = values.begin() + layer * columns;
    rows.push_back(std::vector<double>(first, first + columns));
  }
  return rows;
}

// Empty where no task shows an error at 32 tokens, or that budget was not measured.
std::vector<analysis::TaskInfluence> influence_of(const ErrorCurves& curves, int64_t num_layers) {
  try {
    return analysis::task_influence(curves, num_layers, kInfluenceBudget);
  } catch (const InputError&) {
    return {};
  }
}

}  // namespace

Json curves_json(const ErrorCurves& curves, int64_t num_layers) {
  const auto over_tasks = analysis::curve_intervals(curves, num_layers, analysis::Redrawn::kTasks);
  Json json{{"budgets", curves.budgets},
            {"tasks", curves.tasks},
            {"task_weights", curves.task_weights},
            {"layer_error", rows_of(over_tasks.mean, num_layers)},
            {"ci_low", rows_of(over_tasks.low, num_layers)},
            {"ci_high", rows_of(over_tasks.high, num_layers)}};
  if (!curves.prompt_task.empty()) {
    const auto over_prompts =
        analysis::curve_intervals(curves, num_layers, analysis::Redrawn::kPrompts);
    json["num_prompts"] = curves.prompt_task.size();
    json["prompt_ci_low"] = rows_of(over_prompts.low, num_layers);
    json["prompt_ci_high"] = rows_of(over_prompts.high, num_layers);
  }
  json["task_influence"] = {{"budget_tokens", kInfluenceBudget}, {"rows", Json::array()}};
  for (const analysis::TaskInfluence& of : influence_of(curves, num_layers)) {
    json["task_influence"]["rows"].push_back({{"task", of.task},
                                              {"alone_mean", of.alone_mean},
                                              {"alone_most", of.alone_most},
                                              {"without_mean", of.without_mean},
                                              {"without_most", of.without_most}});
  }
  const std::vector<double> sensitivity = analysis::layer_sensitivity(curves, num_layers);
  if (!sensitivity.empty()) json["layer_sensitivity"] = sensitivity;
  return json;
}

std::string curves_text(const std::string& selector,
                        const ErrorCurves& curves,
                        int64_t num_layers) {
  std::ostringstream text;
  text << "error curves \"" << selector << "\", " << curves.tasks.size() << " tasks, "
       << curves.prompt_task.size() << " prompts: " << kColumnNote << "\n      ";
  const auto intervals = analysis::curve_intervals(curves, num_layers, analysis::Redrawn::kTasks);
  const std::vector<size_t> shown = shown_budgets(curves, num_layers);
  for (const size_t b : shown) text << cell("%13.0f", static_cast<double>(curves.budgets[b]));
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    text << cell("\n%5.0f ", static_cast<double>(layer));
    for (const size_t b : shown) {
      const size_t at = static_cast<size_t>(layer) * curves.budgets.size() + b;
      text << cell("%7.3f", intervals.mean[at])
           << cell(" ±%.3f", (intervals.high[at] - intervals.low[at]) / 2.0);
    }
  }
  const auto influence = influence_of(curves, num_layers);
  if (!influence.empty()) {
    text << "\ntokens per layer that the compresskv plan of " << kInfluenceBudget
         << " moves (mean, most) with that task alone | without it";
    for (const analysis::TaskInfluence& of : influence) {
      text << "\n  " << of.task << std::string(of.task.size() < 12 ? 12 - of.task.size() : 1, ' ')
           << cell("%6.1f", of.alone_mean) << cell("%5.0f", static_cast<double>(of.alone_most))
           << " |";
      if (!std::isnan(of.without_mean)) {
        text << cell("%6.1f", of.without_mean)
             << cell("%5.0f", static_cast<double>(of.without_most));
      }
    }
  }
  return text.str() + "\n";
}

}  // namespace headscope::cli
