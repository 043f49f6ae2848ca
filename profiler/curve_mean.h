// Error curves of many prompts into one set: means within a task, then over tasks by their weight.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::profiler {

// Task -> weight above 0, in any unit; empty = every task weighs the same.
using TaskMix = std::map<std::string, double>;

// `samples`: curves of one prompt each (same budgets), tasks in order of first appearance. A task
// with many prompts weighs no more than `mix` says. std::invalid_argument for a task that a
// non-empty mix lacks.
[[nodiscard]] ErrorCurves combine_curves(const std::vector<ErrorCurves>& samples,
                                         const TaskMix& mix = {});

}  // namespace headscope::profiler
