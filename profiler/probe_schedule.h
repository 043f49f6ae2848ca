// In which order probes are run, and which together: a function of the probes alone, so that every
// process of a run, and every later one that goes on with it, sees the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "profiler/probe.h"

namespace headscope::profiler {

// Indices of probes that are read in one batch: they share a context that holds all their spans,
// and differ in the question. Most units are one probe.
using WorkUnit = std::vector<size_t>;

inline constexpr int64_t kLargestUnit = 64;  // probes

// Units in the order of their tokens: prompts stand next to those they share most with, so that a
// reader which keeps the last prompt's cache computes every shared beginning once.
[[nodiscard]] std::vector<WorkUnit> schedule_probes(const std::vector<Probe>& probes);

// Leading tokens that two prompts have in common.
[[nodiscard]] int64_t common_prefix(const std::vector<int64_t>& a, const std::vector<int64_t>& b);

}  // namespace headscope::profiler
