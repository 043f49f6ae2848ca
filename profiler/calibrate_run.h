// What eviction costs each layer: the relative error of the attention output, after the output
// projection, at many budgets from one run.
//
// CompressKV (2508.02401) sections 3.2 and Eq. 6-12, for every budget instead of one: a prompt is
// prefilled and answered with the full cache; for every decoded token the attention output is
// recomputed with the keys that the selector would have kept, and compared on that full-cache
// trajectory, so that errors do not travel from layer to layer:
//   e(layer, budget) = mean over steps of ||W_O (z_kept - z_full)|| / (||W_O z_full|| + 1e-6)
// (`samples_summed` holds the sum over steps, as the paper's code has it.) Kept are the best
// budget - window keys by the selector heads' window attention, the window, and every generated
// token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"
#include "profiler/trial_store.h"

namespace headscope::profiler {

struct CalibrateOptions {
  std::string score = "srh";   // the head score that ranks a layer's heads
  int64_t selector_heads = 4;  // 1..num_query_heads: best heads of a layer that choose the keys
  // Tokens kept per KV head, window included, 2 or more; 32, the paper's point, is always added.
  std::vector<int64_t> budgets = {8,   16,  24,  32,  48,   64,   96,   128,  192,
                                  256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096};
  SelectionOptions selection;           // window 8, average pooling of 5
  int64_t max_answer_tokens = 32;       // 1..512: decode steps per sample at most
  int64_t chunk_tokens = 256;           // 16..65536: prompt tokens per pass
  double save_every_seconds = 30.0;     // > 0
  bool allow_other_checkpoint = false;  // take a profile of another checkpoint of the same shape

  // Name under which the curves are stored: score and number of heads, "srh4".
  [[nodiscard]] std::string selector_name() const;
  void validate(const ModelShape& shape) const;  // InputError
};

struct CalibrateOutcome {
  HeadProfile profile;      // the given one, with error_curves[selector_name()] when complete
  bool complete = false;    // false: interrupted, the store holds what was done
  int64_t num_resumed = 0;  // samples taken from the store
};

// Budgets of at least the prompt's length have error 0. Curves are the mean over a task's samples,
// then over tasks, so a task with many samples weighs no more than the others. InputError: the
// profile has no such score, or a store of another run. ModelMismatch: the profile is of another
// model.
[[nodiscard]] CalibrateOutcome calibrate(const MeasuredModel& model,
                                         const HeadProfile& profile,
                                         const std::vector<TaskSample>& samples,
                                         const CalibrateOptions& options,
                                         ProgressSink& progress,
                                         TrialStore* store = nullptr);

// Several samples' curves (same budgets) into one, tasks in order of first appearance.
[[nodiscard]] ErrorCurves combine_curves(const std::vector<ErrorCurves>& samples);

}  // namespace headscope::profiler
