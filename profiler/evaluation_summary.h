// From single answers to the rows of an evaluation.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/bootstrap.h"
#include "outputs/evaluation.h"

namespace headscope::profiler {

// One row per (task, context, method, retention), in order of first appearance, with intervals over
// samples. `retention_of_full` compares with the method "full" on the same samples; NaN where those
// are missing or all wrong. `below_floor` stays false: it depends on the plans.
[[nodiscard]] std::vector<EvaluationRow> summarise(const std::vector<EvaluationSample>& samples,
                                                   const analysis::BootstrapOptions& bootstrap);

// How a budget in tokens is entered as a retention: its share of the context length, at most 1.
[[nodiscard]] double nominal_retention(int64_t budget_tokens, int64_t context_length);

}  // namespace headscope::profiler
