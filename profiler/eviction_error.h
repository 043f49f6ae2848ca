// Error curves of one prompt: what each layer's attention output loses at every budget, measured
// along the full-cache trajectory (calibrate_run.h has the formula).
#pragma once

#include <cstdint>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/key_selector.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct EvictionErrorOptions {
  std::vector<int64_t> budgets;        // ascending, >= 2
  std::vector<KeySelector> selectors;  // all measured on the same pass
  // Where the KL divergence of evicting each layer alone is measured, for selectors that a runtime
  // method applies; ascending, empty = nowhere. Costs a pass over the answer per layer and budget.
  std::vector<int64_t> kl_budgets;
  SelectionOptions selection;
  int64_t max_answer_tokens = 32;  // decode steps at most, >= 1
  int64_t chunk_tokens = 256;
};

// For every selector curves with one task and one prompt, the sample's. At least one step is
// decoded, also where the model would end at once. A budget of at least the prompt's length has
// error 0. A layer whose sliding window is shorter than the prompt is measured on the keys that the
// window still holds when the answer begins.
[[nodiscard]] std::vector<ErrorCurves> measure_eviction_error(const MeasuredModel& model,
                                                              const TaskSample& sample,
                                                              const EvictionErrorOptions& options);

}  // namespace headscope::profiler
