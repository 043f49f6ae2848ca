// The ways of making one head profile that are timed against each other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/profile_run.h"

namespace headscope::benchmarks {

// What an arm measured.
struct ArmResult {
  double seconds = 0.0;                       // without loading the model
  std::vector<std::vector<double>> srh;       // per probe [L * Hq], NaN = no sample; empty = none
  std::vector<std::vector<int64_t>> answers;  // per probe; of the peers' schedule only
};

// Our profiler, by any of its modes.
[[nodiscard]] ArmResult run_profiler(const profiler::MeasuredModel& model,
                                     const std::vector<profiler::Probe>& probes,
                                     const profiler::ProfileOptions& options);

// Other projects' schedule with our model: one prefill per probe, all in one pass with logits of
// every position, then step by step to the answer's end with the attention weights of all layers.
[[nodiscard]] ArmResult run_peer_schedule(const profiler::MeasuredModel& model,
                                          const std::vector<profiler::Probe>& probes);

// The same in transformers, by `python` (transformers_schedule.py, in a process of its own), as
// many steps per probe as `answers` has tokens. std::runtime_error where it fails.
[[nodiscard]] ArmResult run_transformers(const std::string& python,
                                         const std::string& model_path,
                                         const std::vector<profiler::Probe>& probes,
                                         const std::vector<std::vector<int64_t>>& answers);

// Mean over the probes with a sample, [L * Hq].
[[nodiscard]] std::vector<double> mean_srh(const ArmResult& arm);

}  // namespace headscope::benchmarks
