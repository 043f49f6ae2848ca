// The propagated check: what whole plans do to the model's answers, beside what their local errors
// promise. Per prompt one prefill serves all plans.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "outputs/budget_plan.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct PlanCheckOptions {
  int64_t max_answer_tokens = 32;  // 1..512: tokens of the full cache's answer that are compared
  int64_t chunk_tokens = 256;      // 16..65536: prompt tokens per pass
  void validate() const;           // InputError
};

// One prompt under one plan.
struct PlanOutcome {
  double kl = 0.0;       // nats per answer token, full cache against the plan's (teacher-forced)
  double score = 0.0;    // of the greedy answer, 0..1
  int64_t kv_bytes = 0;  // held after the prompt
};

struct CheckedPrompt {
  std::string task;
  int64_t sample = 0;
  int64_t num_tokens = 0;   // answer tokens compared
  double full_score = 0.0;  // of the full cache's greedy answer
  int64_t full_kv_bytes = 0;
  std::vector<PlanOutcome> plans;  // in the order of the plans given
};

// One entry per sample reached; fewer where the user asked to stop. InputError as evaluate().
[[nodiscard]] std::vector<CheckedPrompt> check_plans(const MeasuredModel& model,
                                                     const std::vector<TaskSample>& samples,
                                                     const std::vector<BudgetPlan>& plans,
                                                     const PlanCheckOptions& options,
                                                     ProgressSink& progress);

}  // namespace headscope::profiler
