// Error curves of one prompt: what each layer's attention output loses at every budget, measured
// along the full-cache trajectory (calibrate_run.h has the formula).
#pragma once

#include <cstdint>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct EvictionErrorOptions {
  std::vector<int64_t> budgets;                      // ascending, >= 2
  std::vector<std::vector<int64_t>> selector_heads;  // [num_layers][k] query heads
  SelectionOptions selection;
  int64_t max_answer_tokens = 32;  // decode steps at most, >= 1
  int64_t chunk_tokens = 256;
};

// Curves with one task, the sample's. At least one step is decoded, also where the model would end
// at once. A budget of at least the prompt's length has error 0. A layer whose sliding window is
// shorter than the prompt is measured on the keys that the window still holds when the answer
// begins.
[[nodiscard]] ErrorCurves measure_eviction_error(const MeasuredModel& model,
                                                 const TaskSample& sample,
                                                 const EvictionErrorOptions& options);

}  // namespace headscope::profiler
