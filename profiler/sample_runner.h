// Answers to one sample under many settings, from one reading of what is compressed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "profiler/evaluation_settings.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

using PlannedSetting = std::pair<EvaluationSetting, BudgetPlan>;

// Model, sample and options must outlive it.
class SampleRunner {
 public:
  // Reads what is compressed. `remembers`: what the plans to come judge keys by.
  SampleRunner(const MeasuredModel& model,
               const TaskSample& sample,
               const EvaluateOptions& options,
               const runtime::FullKvCacheOptions& remembers);

  // One answer per setting, in their order, decoded side by side. Plans are not looked at for the
  // full cache and for random tokens.
  [[nodiscard]] std::vector<EvaluationSample> answers(std::span<const PlannedSetting> settings);

 private:
  [[nodiscard]] std::unique_ptr<runtime::KvCache> compressed(const PlannedSetting& planned) const;
  // Of the question, where the context alone was compressed.
  [[nodiscard]] int64_t first_token(runtime::KvCache& cache) const;
  [[nodiscard]] EvaluationSample result_of(const EvaluationSetting& setting,
                                           int64_t kv_bytes,
                                           const std::string& response) const;

  const MeasuredModel& model_;
  const TaskSample& sample_;
  const EvaluateOptions& options_;
  std::unique_ptr<runtime::FullKvCache> full_;  // the compressed tokens alone
  int64_t first_token_ = 0;                     // where the whole prompt is compressed
};

}  // namespace headscope::profiler
