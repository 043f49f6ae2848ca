#include "profiler/plan_check.h"

#include <algorithm>

#include "model/rotary.h"
#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/answer_trajectory.h"
#include "profiler/option_check.h"
#include "runtime/compressor.h"

namespace headscope::profiler {
namespace {

void check_lengths(const MeasuredModel& model,
                   const std::vector<TaskSample>& samples,
                   const PlanCheckOptions& options) {
  if (samples.empty()) throw InputError("plan check", "at least one sample", "none");
  const int64_t positions = model::position_limit(model.decoder.config());
  for (const TaskSample& sample : samples) {
    const auto tokens = static_cast<int64_t>(sample.prompt.size());
    if (tokens + options.max_answer_tokens > positions) {
      throw InputError(
          "task " + sample.task,
          "a prompt and its answer within the model's " + std::to_string(positions) + " positions",
          std::to_string(tokens) + " prompt tokens", "Use a shorter context length.");
    }
  }
}

CheckedPrompt check_prompt(const MeasuredModel& model,
                           const TaskSample& sample,
                           const std::vector<BudgetPlan>& plans,
                           const TrajectoryOptions& options) {
  AnswerTrajectory trajectory(model, sample, options);
  const AnswerLimits limits{.max_tokens = sample.max_new_tokens,
                            .stop_at_newline = sample.stop_at_newline};
  CheckedPrompt prompt;
  prompt.task = sample.task;
  prompt.sample = sample.sample;
  prompt.num_tokens = static_cast<int64_t>(trajectory.tokens().size());
  prompt.full_score = grade_response(sample, trajectory.answer(limits));
  prompt.full_kv_bytes = trajectory.cache().bytes_held();
  for (const BudgetPlan& plan : plans) {
    const auto cache = trajectory.compressed(plan);
    PlanOutcome outcome;
    outcome.kv_bytes = cache->bytes_held();
    outcome.kl = trajectory.divergence(*cache);
    outcome.score = grade_response(sample, trajectory.answer(*cache, limits));
    prompt.plans.push_back(outcome);
  }
  return prompt;
}

}  // namespace

void PlanCheckOptions::validate() const {
  check_range("max answer tokens", max_answer_tokens, 1, 512);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
}

std::vector<CheckedPrompt> check_plans(const MeasuredModel& model,
                                       const std::vector<TaskSample>& samples,
                                       const std::vector<BudgetPlan>& plans,
                                       const PlanCheckOptions& options,
                                       ProgressSink& progress) {
  options.validate();
  check_lengths(model, samples, options);
  TrajectoryOptions trajectory{.max_answer_tokens = options.max_answer_tokens,
                               .window_tokens = 1,
                               .chunk_tokens = options.chunk_tokens};
  for (const BudgetPlan& plan : plans) {
    const runtime::FullKvCacheOptions needed = runtime::full_cache_options(plan);
    trajectory.window_tokens = std::max(trajectory.window_tokens, needed.window_tokens);
    trajectory.sums_attention = trajectory.sums_attention || needed.sums_attention;
  }
  std::vector<CheckedPrompt> checked;
  progress.begin("prompts", static_cast<int64_t>(samples.size()));
  for (const TaskSample& sample : samples) {
    if (progress.interrupted()) break;
    checked.push_back(check_prompt(model, sample, plans, trajectory));
    progress.advance(static_cast<int64_t>(checked.size()));
  }
  return checked;
}

}  // namespace headscope::profiler
