// `--task-mix FILE`: how much each task family weighs.
#pragma once

#include <string>

#include "profiler/curve_mean.h"

namespace headscope::cli {

// A JSON object, task -> weight above 0: {"needle": 1, "qa": 2}. InputError for a task that there
// is not, a weight that is none, or an empty mix.
[[nodiscard]] profiler::TaskMix read_task_mix(const std::string& path);

}  // namespace headscope::cli
