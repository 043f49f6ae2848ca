#include "profiler/evaluation_settings.h"

#include "outputs/input_error.h"
#include "profiler/evaluation_summary.h"
#include "profiler/option_check.h"
#include "runtime/compressor.h"

namespace headscope::profiler {

void EvaluateOptions::validate() const {
  if (retentions.empty() == budgets.empty()) {
    throw InputError("evaluate", "retentions or budgets", budgets.empty() ? "neither" : "both");
  }
  for (const std::string& method : methods)
    static_cast<void>(runtime::find_policy(method, "methods"));
  for (const double retention : retentions) {
    if (!(retention > 0.0 && retention <= 1.0)) {
      throw InputError("retentions", "shares above 0 and at most 1", std::to_string(retention));
    }
  }
  for (const int64_t budget : budgets) check_range("budgets", budget, 2, int64_t{1} << 40);
  check_range("timed samples", timed_samples, 0, 1000000);
  check_range("bootstrap draws", bootstrap_draws, 100, 1000000);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
  if (!(save_every_seconds > 0.0)) {
    throw InputError("save interval", "a time above 0 s", std::to_string(save_every_seconds));
  }
}

int64_t compressed_tokens(const TaskSample& sample, const EvaluateOptions& options) {
  return options.question_agnostic ? sample.context_tokens
                                   : static_cast<int64_t>(sample.prompt.size());
}

std::vector<EvaluationSetting> settings_of(const TaskSample& sample,
                                           const EvaluateOptions& options) {
  const int64_t tokens = compressed_tokens(sample, options);
  std::vector<EvaluationSetting> settings{{kFullCache, 1.0, 0}};
  const auto add = [&](const std::string& method, double retention, int64_t budget) {
    for (const EvaluationSetting& known : settings) {
      if (known.method == method && known.retention == retention) return;
    }
    // What fits is left alone, whatever the method would do with it.
    settings.push_back({method, retention, budget >= tokens ? 0 : budget});
  };
  std::vector<std::string> names = options.methods;
  names.insert(names.end(), options.arms.begin(), options.arms.end());
  names.emplace_back(kRandomTokens);
  for (const std::string& name : names) {
    if (name == kFullCache) continue;
    for (const double retention : options.retentions) {
      add(name, retention, runtime::budget_for_retention(retention, tokens));
    }
    for (const int64_t budget : options.budgets) {
      add(name, nominal_retention(budget, sample.context_length), budget);
    }
  }
  for (const auto& [label, budget] : options.plans) {
    add(label, nominal_retention(budget, sample.context_length), budget);
  }
  return settings;
}

SampleKey key_of(const EvaluationSample& sample) {
  return {sample.task, sample.context_length, sample.sample, sample.method, sample.retention};
}

SampleKey key_of(const TaskSample& sample, const EvaluationSetting& setting) {
  return {sample.task, sample.context_length, sample.sample, setting.method, setting.retention};
}

}  // namespace headscope::profiler
