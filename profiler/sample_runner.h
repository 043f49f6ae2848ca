// Answers to one sample under many settings, from one reading of what is compressed.
#pragma once

#include <cstdint>
#include <memory>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "profiler/evaluation_settings.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

// Model, sample and options must outlive it.
class SampleRunner {
 public:
  // Reads what is compressed. `remembers`: what the plans to come judge keys by.
  SampleRunner(const MeasuredModel& model,
               const TaskSample& sample,
               const EvaluateOptions& options,
               const runtime::FullKvCacheOptions& remembers);

  // `plan` is not looked at for the full cache and for random tokens.
  [[nodiscard]] EvaluationSample answer(const EvaluationSetting& setting, const BudgetPlan& plan);

 private:
  [[nodiscard]] EvaluationSample decode(runtime::KvCache& cache);

  const MeasuredModel& model_;
  const TaskSample& sample_;
  const EvaluateOptions& options_;
  std::unique_ptr<runtime::FullKvCache> full_;  // the compressed tokens alone
  int64_t first_token_ = 0;                     // where the whole prompt is compressed
};

}  // namespace headscope::profiler
