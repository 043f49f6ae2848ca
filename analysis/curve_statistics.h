// How far error curves can be trusted: intervals of the means, and how much of a plan hangs on a
// single task of the mix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/bootstrap.h"
#include "outputs/head_profile.h"

namespace headscope::analysis {

// What a repetition of the measurement would draw anew.
enum class Redrawn {
  kTasks,    // the task families of the mix: would other tasks show the same curves?
  kPrompts,  // the prompts of each task: would other prompts of these tasks?
};

struct CurveIntervals {
  std::vector<double> mean;  // [num_layers, num_budgets], as ErrorCurves::layer
  std::vector<double> low;   // low <= mean <= high
  std::vector<double> high;
};

// Percentile bootstrap of the layers' curves, the same draws for all layers and budgets. A single
// task, or single prompts, cannot be told from their mean: low = mean = high. The same input and
// seed give the same numbers everywhere. InputError for kPrompts where prompts are not stored.
[[nodiscard]] CurveIntervals curve_intervals(const ErrorCurves& curves,
                                             int64_t num_layers,
                                             Redrawn redrawn,
                                             const BootstrapOptions& options = {});

// How the compresskv allocation would change with the mix, in tokens per KV head.
struct TaskInfluence {
  std::string task;
  double alone_mean = 0.0;    // calibrated on this task alone: mean over layers of |tokens moved|
  int64_t alone_most = 0;     // … and the layer that moves most
  double without_mean = 0.0;  // calibrated on all others; NaN where there are none
  int64_t without_most = 0;
};

// For each task, against the allocation of the whole mix at a mean of `budget_tokens` (CompressKV's
// Algorithm 1 with its own floor and ceiling, errors at 32 tokens). methods.md 2.2 has such figures
// for published scores: 5 to 23 of 256 tokens alone, at most 1.6 without. InputError as
// layer_error(); a task without any error is left out.
[[nodiscard]] std::vector<TaskInfluence> task_influence(const ErrorCurves& curves,
                                                        int64_t num_layers,
                                                        int64_t budget_tokens);

// [num_layers] > 0: the KL divergence of the logits that a unit of squared relative error of a
// layer's KV heads brings, from evicting each layer alone,
//   s_l = sum_b KL(l, b) / sum_b sum_k kv_head_squared(l, k, b)   over b in kl_budgets,
// divided by the mean over layers; at least a hundredth of it, for a layer whose error does not
// show. For small errors KL is quadratic in them, so that sum_l s_l sum_k e(l, k, b)^2 estimates
// what a plan does to the answer. Empty where the curves hold no KL or no squares.
[[nodiscard]] std::vector<double> layer_sensitivity(const ErrorCurves& curves, int64_t num_layers);

}  // namespace headscope::analysis
