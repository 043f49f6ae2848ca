// Error curves for people and as JSON: what `calibrate` shows when it is done and `inspect` of a
// profile.
#pragma once

#include <string>

#include "outputs/head_profile.h"
#include "profiler/cli/session.h"

namespace headscope::cli {

// At which budget the weight of single tasks is shown: tokens per KV head.
inline constexpr int64_t kInfluenceBudget = 256;

// budgets, tasks, task_weights, layer_error [num_layers][num_budgets], ci_low and ci_high (95 %,
// over the tasks of the mix), prompt_ci_low and prompt_ci_high (over prompts, where stored),
// task_influence, and layer_sensitivity where measured.
[[nodiscard]] Json curves_json(const ErrorCurves& curves, int64_t num_layers);

// The same as two short tables.
[[nodiscard]] std::string curves_text(const std::string& selector,
                                      const ErrorCurves& curves,
                                      int64_t num_layers);

}  // namespace headscope::cli
