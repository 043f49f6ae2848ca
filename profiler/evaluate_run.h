// What compression costs in answers: accuracy of each method at each budget beside the full cache
// and beside tokens kept at random, on the same prompts.
//
// One prefill of a sample serves every method and budget: the full cache is compressed into a fresh
// one for each of them, and the answer decoded greedily from that. Where the whole prompt is
// compressed, the first answer token comes from the prefill itself and so is the same for all;
// where it is the context, the question is read into each compressed cache. What a method costs is
// measured apart, in runs of its own (answer_cost.h).
#pragma once

#include <cstdint>
#include <vector>

#include "outputs/evaluation.h"
#include "profiler/evaluation_settings.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"
#include "profiler/trial_store.h"

namespace headscope::profiler {

struct EvaluateOutcome {
  Evaluation evaluation;    // rows are of the samples reached
  bool complete = false;    // false: interrupted, the store holds what was done
  int64_t num_resumed = 0;  // samples (prompts) taken from the store
};

// InputError: options out of range, no sample, a prompt beyond the model's positions, a sample
// whose question is not told from its context where that matters, or a store of another run.
[[nodiscard]] EvaluateOutcome evaluate(const MeasuredModel& model,
                                       const std::vector<TaskSample>& samples,
                                       const PlanMaker& make_plan,
                                       const EvaluateOptions& options,
                                       const Provenance& provenance,
                                       ProgressSink& progress,
                                       TrialStore* store = nullptr);

}  // namespace headscope::profiler
