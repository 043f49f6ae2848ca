// What allocators and selectors read of a profile, looked up by name.
#pragma once

#include <string>
#include <vector>

#include "analysis/allocator.h"
#include "outputs/head_profile.h"
#include "profiler/method_plan.h"

namespace headscope::profiler {

// Fills what `needs` names. InputError naming what the profile lacks. Returns notes for the lint.
std::vector<std::string> add_measurements(const HeadProfile& profile,
                                          const analysis::AllocatorNeeds& needs,
                                          const MethodOptions& options,
                                          analysis::AllocatorInput& input);

// The heads of every layer that choose its keys; where every KV head has a ranking of its own
// (selection.index_sets), each group's best. InputError: no such score, no successful probe.
[[nodiscard]] Selectors pick_selectors(const HeadProfile& profile, const MethodOptions& options);

}  // namespace headscope::profiler
