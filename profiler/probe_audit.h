// Are the probes what they claim to be? Computed from what a profile holds, nothing but numbers.
//
// Of the trials in published head-score files most are exact copies of one another: depths that
// collapsed onto one position gave one prompt several times. Scores over copies look surer than
// they are, so copies are counted here, and refused where they would be made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"
#include "profiler/probe.h"

namespace headscope::profiler {

// Probes of one family, context length and asked depth.
struct ProbeCell {
  std::string family;
  int64_t context_length = 0;  // as asked where the profile says so, else the cell's longest prompt
  double depth = 0.0;          // asked
  int64_t num_probes = 0;
  int64_t num_answered = 0;
};

struct FamilyAudit {
  std::string family;
  int64_t num_probes = 0;
  int64_t num_answered = 0;
  int64_t num_controls = 0;
  int64_t num_controls_answered = 0;  // without the needle: the model's prior gave the answer
};

struct ProbeAudit {
  int64_t num_probes = 0;
  int64_t num_distinct_prompts = 0;
  int64_t num_counted = 0;  // answered
  // Of them, those whose numbers differ under some score: numbers, unlike prompts, show depths that
  // collapsed onto one place.
  int64_t num_distinct_trials = 0;
  int64_t num_with_needle = 0;     // probes with something to be found
  int64_t num_spans_in_place = 0;  // of them: spans inside the prompt, answer inside the needle
  double mean_depth_gap = 0.0;     // |achieved - asked|, of probes with a needle
  double max_depth_gap = 0.0;
  int64_t num_controls = 0;
  int64_t num_controls_answered = 0;
  std::vector<FamilyAudit> families;  // in the order of the probes
  std::vector<ProbeCell> cells;       // by family, context length, depth
  std::vector<std::string> warnings;  // sentences
};

[[nodiscard]] ProbeAudit audit_probes(const HeadProfile& profile);

// InputError where two probes have the same prompt, naming both.
void refuse_duplicate_prompts(const std::vector<Probe>& probes);

}  // namespace headscope::profiler
