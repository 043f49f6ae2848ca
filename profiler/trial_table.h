// From trials to a profile: records and samples in the order of the probes, controls apart, means.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"
#include "outputs/head_profile.h"
#include "profiler/probe.h"
#include "profiler/trial.h"

namespace headscope::profiler {

// The place of each probe's trial among others; a probe without one is absent from the profile.
struct TrialOfProbe {
  const Probe* probe = nullptr;
  const Trial* trial = nullptr;
};

// The record of a probe that has not run.
[[nodiscard]] ProbeRecord describe_probe(const Probe& probe);

// A probe passes where its gate value exceeds `success_threshold`, one of repeated tokens always:
// nothing is asked there. Samples of probes that failed are NaN; those of controls stay.
// std::invalid_argument where a trial lacks a score.
[[nodiscard]] HeadProfile profile_of_trials(const std::vector<TrialOfProbe>& trials,
                                            const ModelIdentity& model,
                                            const std::vector<std::string>& scores,
                                            double success_threshold,
                                            const analysis::FamilyMix& mix = {});

// analysis::mixed_mean() as a table of the model's heads. `samples` as in ScoreTable.
[[nodiscard]] HeadMatrix mean_over_probes(const std::vector<ProbeRecord>& probes,
                                          const std::vector<float>& samples,
                                          const ModelShape& shape,
                                          const analysis::FamilyMix& mix);

}  // namespace headscope::profiler
