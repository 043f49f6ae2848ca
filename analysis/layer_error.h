// One number per layer for the allocator: how much of the eviction error is this layer's.
// CompressKV, arXiv 2508.02401, Eq. 6-12.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::analysis {

enum class ErrorSteps {
  kSummed,  // summed over answer steps, as CompressKV's code: long answers weigh more
  kMean,    // mean over answer steps
};

struct LayerErrorOptions {
  int64_t budget = 32;  // tokens per KV head: CompressKV's point, 24 + a window of 8
  ErrorSteps steps = ErrorSteps::kSummed;
};

struct LayerError {
  std::vector<double> values;      // [num_layers], >= 0, sums to 1
  std::vector<std::string> notes;  // tasks left out, in words
};

// Each task's errors are divided by their sum over layers, averaged over tasks (by the curves'
// task_weights), and divided by their sum again. A task without any error (its prompts fit the
// budget) is left out with a note. InputError where the budget was not measured, a value is
// negative or not finite, no task is left, or the shapes disagree.
[[nodiscard]] LayerError layer_error(const ErrorCurves& curves,
                                     int64_t num_layers,
                                     const LayerErrorOptions& options = {});

}  // namespace headscope::analysis
