// How far shared mode, which is another experiment, agrees with exact mode: some of its questions
// are asked once more, each alone in its haystack, and the two ways' head scores are compared.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "analysis/paired_agreement.h"
#include "outputs/head_profile.h"
#include "profiler/probe.h"

namespace headscope::profiler {

struct ModeAgreement {
  int64_t num_probes = 0;                                   // asked in exact mode
  int64_t num_successful = 0;                               // of those
  std::map<std::string, analysis::PairedAgreement> scores;  // by score name
};

// How many probes are compared where nobody says: a twentieth of the questions, 4 to 24.
[[nodiscard]] int64_t default_comparison(int64_t num_questions);

// At most `count` questions of `exact`, among those which `shared` was asked too: every needle
// before any comes twice, and spread evenly. Controls and repeated tokens are not compared.
[[nodiscard]] std::vector<Probe> comparison_probes(const std::vector<Probe>& exact,
                                                   const HeadProfile& shared,
                                                   int64_t count);

// Every probe of `exact` beside that probe of `shared` with the same question whose context is the
// nearest in length. Scores that one of them lacks are left out.
[[nodiscard]] ModeAgreement mode_agreement(const HeadProfile& exact, const HeadProfile& shared);

}  // namespace headscope::profiler
