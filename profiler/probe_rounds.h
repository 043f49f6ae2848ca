// An open-ended run: in which order its probes are put, and after how many it asks whether they
// are enough (analysis/stop_rule.h). A function of the probes and the seed alone, so that every
// process of a run, and every later one that goes on with it, stops at the same probe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "analysis/stop_rule.h"
#include "profiler/probe.h"

namespace headscope::profiler {

// Families, and the controls of each, in equal steps: after any number of probes about the same
// share of each has been put, and at least one of each before the second of any that is larger.
// Within a family the order is random, but for questions of one context, which stay together
// (probe_schedule.h). Ids stay.
[[nodiscard]] std::vector<Probe> mixed_order(std::vector<Probe> probes, uint64_t seed);

// Numbers of probes, ascending, the last `num_probes`. The first is `min_probes` rounded up to
// whole look-backs; each step is a quarter of what was put, rounded down to whole look-backs, at
// least one. Few looks, because one that finds a stable ranking by chance ends the run.
[[nodiscard]] std::vector<size_t> round_ends(size_t num_probes,
                                             const analysis::StopOptions& options);

}  // namespace headscope::profiler
