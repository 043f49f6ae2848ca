// What an answer costs a user who runs the method alone: time to its first token, memory, speed.
#pragma once

#include <cstdint>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct CostOptions {
  int64_t chunk_tokens = 256;  // prompt tokens per pass
  // The tokens that are compressed: the prompt's, or fewer. What comes after them is read into the
  // compressed cache.
  int64_t compressed_tokens = 0;
  int64_t decode_tokens = 32;  // passes after the first token, whatever the model says
};

// One prompt through a cache of its own, evicted as it is read. Fewer tokens are decoded where the
// model's positions end; the speed is NaN where none was. A plan of the method "full" keeps
// everything.
[[nodiscard]] AnswerCost measure_cost(const MeasuredModel& model,
                                      const TaskSample& sample,
                                      const BudgetPlan& plan,
                                      const CostOptions& options);

}  // namespace headscope::profiler
