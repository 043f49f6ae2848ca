#include "analysis/curve_statistics.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "analysis/compresskv_allocator.h"
#include "analysis/layer_error.h"
#include "analysis/quantile.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double weight_of(const ErrorCurves& curves, size_t task) {
  return curves.task_weights.empty() ? 1.0 : curves.task_weights[task];
}

// Weight of every row in one redrawn mean; sums to 1. Raw draws, as in bootstrap.cpp.
Eigen::VectorXd redraw_tasks(const ErrorCurves& curves, std::mt19937_64& random) {
  const size_t count = curves.tasks.size();
  Eigen::VectorXd weight = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(count));
  for (size_t draw = 0; draw < count; ++draw) {
    const size_t task = random() % count;
    weight[static_cast<Eigen::Index>(task)] += weight_of(curves, task);
  }
  return weight / weight.sum();
}

Eigen::VectorXd redraw_prompts(const ErrorCurves& curves,
                               const std::vector<std::vector<size_t>>& prompts_of,
                               std::mt19937_64& random) {
  Eigen::VectorXd weight =
      Eigen::VectorXd::Zero(static_cast<Eigen::Index>(curves.prompt_task.size()));
  for (size_t task = 0; task < prompts_of.size(); ++task) {
    const std::vector<size_t>& prompts = prompts_of[task];
    for (size_t draw = 0; draw < prompts.size(); ++draw) {
      const size_t prompt = prompts[random() % prompts.size()];
      weight[static_cast<Eigen::Index>(prompt)] +=
          weight_of(curves, task) / static_cast<double>(prompts.size());
    }
  }
  return weight / weight.sum();
}

std::vector<std::vector<size_t>> prompts_by_task(const ErrorCurves& curves) {
  if (curves.prompt_task.empty()) {
    throw InputError("error curves", "the curves of every prompt", "only their means",
                     "Calibrate again.");
  }
  std::vector<std::vector<size_t>> prompts(curves.tasks.size());
  for (size_t i = 0; i < curves.prompt_task.size(); ++i) {
    prompts.at(static_cast<size_t>(curves.prompt_task[i])).push_back(i);
  }
  return prompts;
}

// The curves of some tasks only.
ErrorCurves restricted(const ErrorCurves& curves, int64_t num_layers, size_t task, bool alone) {
  ErrorCurves some;
  some.budgets = curves.budgets;
  const auto size = static_cast<int64_t>(curves.budgets.size()) * num_layers;
  for (size_t t = 0; t < curves.tasks.size(); ++t) {
    if ((t == task) != alone) continue;
    some.tasks.push_back(curves.tasks[t]);
    some.task_weights.push_back(weight_of(curves, t));
    for (const auto field : {&ErrorCurves::samples, &ErrorCurves::samples_summed}) {
      const auto first = (curves.*field).begin() + static_cast<int64_t>(t) * size;
      (some.*field).insert((some.*field).end(), first, first + size);
    }
  }
  return some;
}

std::vector<int64_t> allocate(const ErrorCurves& curves,
                              int64_t num_layers,
                              int64_t budget_tokens) {
  const int64_t floor = budget_tokens < CompressKvAllocator::kFloorTokens
                            ? std::max<int64_t>(1, budget_tokens / 2)
                            : CompressKvAllocator::kFloorTokens;
  return error_proportional_budgets(layer_error(curves, num_layers).values,
                                    budget_tokens * num_layers, floor,
                                    CompressKvAllocator::kCeilingFactor * budget_tokens);
}

bool shows_error(const ErrorCurves& curves) {
  return std::any_of(curves.samples_summed.begin(), curves.samples_summed.end(),
                     [](float error) { return error > 0.0F; });
}

void compare(const std::vector<int64_t>& plan,
             const std::vector<int64_t>& other,
             double& mean,
             int64_t& most) {
  int64_t moved = 0;
  for (size_t layer = 0; layer < plan.size(); ++layer) {
    const int64_t difference = std::abs(plan[layer] - other[layer]);
    moved += difference;
    most = std::max(most, difference);
  }
  // A token that moves is missing in one layer and is one too many in another.
  mean = static_cast<double>(moved) / 2.0 / static_cast<double>(plan.size());
}

}  // namespace

CurveIntervals curve_intervals(const ErrorCurves& curves,
                               int64_t num_layers,
                               Redrawn redrawn,
                               const BootstrapOptions& options) {
  const bool tasks = redrawn == Redrawn::kTasks;
  const std::vector<float>& values = tasks ? curves.samples : curves.prompt_layer;
  const auto prompts = tasks ? std::vector<std::vector<size_t>>() : prompts_by_task(curves);
  const auto columns =
      static_cast<Eigen::Index>(curves.budgets.size()) * static_cast<Eigen::Index>(num_layers);
  const Eigen::Map<const Rows> rows(values.data(),
                                    static_cast<Eigen::Index>(values.size()) / columns, columns);
  const Eigen::MatrixXd exact = rows.cast<double>();

  std::mt19937_64 random(options.seed);
  Eigen::MatrixXd draws(columns, options.num_resamples);
  for (int64_t i = 0; i < options.num_resamples; ++i) {
    const Eigen::VectorXd weight =
        tasks ? redraw_tasks(curves, random) : redraw_prompts(curves, prompts, random);
    draws.col(i) = exact.transpose() * weight;
  }
  CurveIntervals intervals;
  const double tail = (1.0 - options.confidence) / 2.0;
  std::vector<double> sorted(static_cast<size_t>(options.num_resamples));
  for (Eigen::Index c = 0; c < columns; ++c) {
    Eigen::VectorXd::Map(sorted.data(), options.num_resamples) = draws.row(c);
    std::sort(sorted.begin(), sorted.end());
    const double mean = static_cast<double>(curves.layer[static_cast<size_t>(c)]);
    intervals.mean.push_back(mean);
    intervals.low.push_back(std::min(mean, quantile(sorted, tail)));
    intervals.high.push_back(std::max(mean, quantile(sorted, 1.0 - tail)));
  }
  return intervals;
}

std::vector<TaskInfluence> task_influence(const ErrorCurves& curves,
                                          int64_t num_layers,
                                          int64_t budget_tokens) {
  const std::vector<int64_t> plan = allocate(curves, num_layers, budget_tokens);
  std::vector<TaskInfluence> influence;
  for (size_t task = 0; task < curves.tasks.size(); ++task) {
    const ErrorCurves alone = restricted(curves, num_layers, task, /*alone=*/true);
    const ErrorCurves others = restricted(curves, num_layers, task, /*alone=*/false);
    if (!shows_error(alone)) continue;
    TaskInfluence of_task;
    of_task.task = curves.tasks[task];
    compare(plan, allocate(alone, num_layers, budget_tokens), of_task.alone_mean,
            of_task.alone_most);
    of_task.without_mean = std::numeric_limits<double>::quiet_NaN();
    if (shows_error(others)) {
      compare(plan, allocate(others, num_layers, budget_tokens), of_task.without_mean,
              of_task.without_most);
    }
    influence.push_back(of_task);
  }
  return influence;
}

std::vector<double> layer_sensitivity(const ErrorCurves& curves, int64_t num_layers) {
  if (curves.prompt_kl.empty() || curves.kv_head_squared.empty()) return {};
  const size_t layers = static_cast<size_t>(num_layers), budgets = curves.budgets.size();
  const size_t heads = curves.kv_head_squared.size() / (layers * budgets);
  const auto prompts = prompts_by_task(curves);
  std::vector<double> sensitivity(layers, 0.0);
  double total = 0.0;
  for (size_t layer = 0; layer < layers; ++layer) {
    double kl = 0.0, squared = 0.0;
    for (size_t i = 0; i < curves.kl_budgets.size(); ++i) {
      for (size_t task = 0; task < prompts.size(); ++task) {
        for (const size_t prompt : prompts[task]) {
          kl += weight_of(curves, task) / static_cast<double>(prompts[task].size()) *
                static_cast<double>(
                    curves.prompt_kl[(prompt * layers + layer) * curves.kl_budgets.size() + i]);
        }
      }
      const auto at = std::find(curves.budgets.begin(), curves.budgets.end(), curves.kl_budgets[i]);
      for (size_t head = 0; head < heads && at != curves.budgets.end(); ++head) {
        squared += static_cast<double>(
            curves.kv_head_squared[(layer * heads + head) * budgets +
                                   static_cast<size_t>(at - curves.budgets.begin())]);
      }
    }
    sensitivity[layer] = squared > 0.0 ? kl / squared : 0.0;
    total += sensitivity[layer];
  }
  if (!(total > 0.0)) return {};
  for (double& of_layer : sensitivity) {
    of_layer = std::max(of_layer * static_cast<double>(num_layers) / total, 0.01);
  }
  return sensitivity;
}

}  // namespace headscope::analysis
