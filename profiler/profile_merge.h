// Profiles of one model as one: the union of their trials.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::profiler {

struct NamedProfile {
  std::string name;  // for messages: the file's path
  HeadProfile profile;
};

struct MergeOutcome {
  HeadProfile profile;
  int64_t num_overlapping = 0;  // trials that an earlier profile held already
};

// Trials in the order of the profiles, each once; ids are given anew and means computed anew.
// A trial is known by its prompt, spans, accepted answer, and whether it is a control. Of
// provenance what all have in common stays; seconds add up.
//
// ModelMismatch: profiles of different models. InputError, by name: nothing to merge; other scores,
// dtype or options that bear on a trial; one trial with two results (another response, or samples
// more than 1e-4 apart: more than rounding); one selector with two error curves.
[[nodiscard]] MergeOutcome merge_profiles(const std::vector<NamedProfile>& profiles);

}  // namespace headscope::profiler
