// What eviction costs each layer: the relative error of the attention output, after the output
// projection, at many budgets from one run.
//
// CompressKV (2508.02401) sections 3.2 and Eq. 6-12, for every budget instead of one: a prompt is
// prefilled and answered with the full cache; for every decoded token the attention output is
// recomputed with the keys that the selector would have kept, and compared on that full-cache
// trajectory, so that errors do not travel from layer to layer:
//   e(layer, budget) = mean over steps of ||W_O (z_kept - z_full)|| / (||W_O z_full|| + 1e-6)
// (`samples_summed` holds the sum over steps, as the paper's code has it.) Kept are the best
// budget - window keys by the selector's window attention, the window, and every generated token.
//
// Where asked for, the answer's tokens are also fed through a cache with one layer alone evicted:
// the KL divergence of the logits says what an error of that layer does to the answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/curve_mean.h"
#include "profiler/key_selector.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"
#include "profiler/trial_store.h"

namespace headscope::profiler {

struct CalibrateOptions {
  std::vector<std::string> selectors = {"srh"};  // as make_key_selector() takes them
  KeySelectorOptions heads;
  TaskMix mix;  // which tasks weigh how much in `layer` and `kv_head`; empty = all the same
  // Tokens kept per KV head, window included, 2 or more; 32, the paper's point, is always added.
  std::vector<int64_t> budgets = {8,   16,  24,  32,  48,   64,   96,   128,  192,
                                  256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096};
  SelectionOptions selection;           // window 8, average pooling of 5
  int64_t max_answer_tokens = 32;       // 1..512: decode steps per sample at most
  int64_t chunk_tokens = 256;           // 16..65536: prompt tokens per pass
  double save_every_seconds = 30.0;     // > 0
  bool allow_other_checkpoint = false;  // take a profile of another checkpoint of the same shape

  // Budgets at which every layer is also evicted alone, for the KL divergence; added to `budgets`.
  // Empty = not measured. Selectors that no runtime method applies have none.
  std::vector<int64_t> kl_budgets;

  // Names under which the curves are stored, in the order of `selectors`.
  [[nodiscard]] std::vector<std::string> stored_names() const;
  void validate(const ModelShape& shape) const;  // InputError
};

struct CalibrateOutcome {
  HeadProfile profile;      // the given one, with the curves of stored_names() when complete
  bool complete = false;    // false: interrupted, the store holds what was done
  int64_t num_resumed = 0;  // samples taken from the store
};

// Budgets of at least the prompt's length have error 0. Curves are the mean over a task's samples,
// then over tasks by their weight, so a task with many samples weighs no more than the others.
// InputError: the profile has no such score, or a store of another run. ModelMismatch: the profile
// is of another model.
[[nodiscard]] CalibrateOutcome calibrate(const MeasuredModel& model,
                                         const HeadProfile& profile,
                                         const std::vector<TaskSample>& samples,
                                         const CalibrateOptions& options,
                                         ProgressSink& progress,
                                         TrialStore* store = nullptr);

}  // namespace headscope::profiler
