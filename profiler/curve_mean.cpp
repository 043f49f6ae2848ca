#include "profiler/curve_mean.h"

#include <algorithm>
#include <stdexcept>

namespace headscope::profiler {
namespace {

// sum += factor * values
void add_to(std::vector<float>& sum, const std::vector<float>& values, double factor) {
  if (sum.empty()) sum.assign(values.size(), 0.0F);
  for (size_t i = 0; i < values.size(); ++i) sum[i] += static_cast<float>(factor) * values[i];
}

void append(std::vector<float>& all, const std::vector<float>& values) {
  all.insert(all.end(), values.begin(), values.end());
}

std::vector<double> weights_of(const std::vector<std::string>& tasks, const TaskMix& mix) {
  std::vector<double> weights;
  double total = 0.0;
  for (const std::string& task : tasks) {
    const auto found = mix.find(task);
    if (!mix.empty() && found == mix.end()) {
      throw std::invalid_argument("combine_curves: expected a weight for the task " + task);
    }
    weights.push_back(mix.empty() ? 1.0 : found->second);
    total += weights.back();
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace

ErrorCurves combine_curves(const std::vector<ErrorCurves>& samples, const TaskMix& mix) {
  ErrorCurves combined;
  if (samples.empty()) return combined;
  combined.budgets = samples.front().budgets;
  combined.kl_budgets = samples.front().kl_budgets;
  for (const ErrorCurves& sample : samples) {
    const std::string& task = sample.tasks.at(0);
    const auto found = std::find(combined.tasks.begin(), combined.tasks.end(), task);
    combined.prompt_task.push_back(found - combined.tasks.begin());
    if (found == combined.tasks.end()) combined.tasks.push_back(task);
    append(combined.prompt_layer, sample.samples);
    append(combined.prompt_kl, sample.prompt_kl);
  }
  combined.task_weights = weights_of(combined.tasks, mix);
  for (size_t task = 0; task < combined.tasks.size(); ++task) {
    const auto count = std::count(combined.prompt_task.begin(), combined.prompt_task.end(),
                                  static_cast<int64_t>(task));
    const double share = 1.0 / static_cast<double>(count);
    ErrorCurves mean;
    for (size_t i = 0; i < samples.size(); ++i) {
      if (combined.prompt_task[i] != static_cast<int64_t>(task)) continue;
      add_to(mean.samples, samples[i].samples, share);
      add_to(mean.samples_summed, samples[i].samples_summed, share);
      add_to(mean.kv_head, samples[i].kv_head, share);
      add_to(mean.kv_head_squared, samples[i].kv_head_squared, share);
    }
    append(combined.samples, mean.samples);
    append(combined.samples_summed, mean.samples_summed);
    add_to(combined.layer, mean.samples, combined.task_weights[task]);
    add_to(combined.kv_head, mean.kv_head, combined.task_weights[task]);
    add_to(combined.kv_head_squared, mean.kv_head_squared, combined.task_weights[task]);
  }
  return combined;
}

}  // namespace headscope::profiler
