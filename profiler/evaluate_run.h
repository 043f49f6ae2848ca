// What compression costs in answers: accuracy of each method at each budget beside the full cache,
// on the same prompts.
//
// One prefill of a sample serves every method and budget: the full cache is compressed into a fresh
// one for each of them. The first answer token comes from the prefill itself and so is the same for
// all; the rest is decoded greedily from the compressed cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"
#include "profiler/trial_store.h"

namespace headscope::profiler {

// The plan of `method` at a mean of `budget_tokens` per KV head for a prompt of `prompt_tokens`.
// Not asked where the whole prompt fits the budget: nothing is evicted then, whatever the method.
using PlanMaker = std::function<BudgetPlan(
    const std::string& method, int64_t budget_tokens, int64_t prompt_tokens)>;

struct EvaluateOptions {
  std::vector<std::string> methods = {"compresskv", "snapkv", "streaming"};  // "full" is always run
  // Exactly one of the two; retentions are the kept share of the prompt's bytes, (0, 1]; budgets
  // are mean tokens per KV head, 2 or more.
  std::vector<double> retentions = {0.5, 0.25, 0.125};
  std::vector<int64_t> budgets;
  // Plans of the user's beside the methods: a label each ("plan:mine") and the plan's mean tokens
  // per KV head. Each is applied as it is, at its own budgets; PlanMaker is asked for the label.
  std::vector<std::pair<std::string, int64_t>> plans;
  int64_t bootstrap_draws = 2000;    // 100..1000000: for the 95 % intervals over samples
  uint64_t seed = 0;                 // of the bootstrap; the samples carry their own
  int64_t chunk_tokens = 256;        // 16..65536: prompt tokens per pass
  double save_every_seconds = 30.0;  // > 0

  void validate() const;  // InputError
};

struct EvaluateOutcome {
  Evaluation evaluation;    // rows are of the samples reached
  bool complete = false;    // false: interrupted, the store holds what was done
  int64_t num_resumed = 0;  // samples (prompts) taken from the store
};

[[nodiscard]] EvaluateOutcome evaluate(const MeasuredModel& model,
                                       const std::vector<TaskSample>& samples,
                                       const PlanMaker& make_plan,
                                       const EvaluateOptions& options,
                                       const Provenance& provenance,
                                       ProgressSink& progress,
                                       TrialStore* store = nullptr);

}  // namespace headscope::profiler
