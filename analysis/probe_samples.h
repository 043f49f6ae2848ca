// The samples of one score as the statistics want them: probes x heads, with each probe's needle
// (probes of one needle are not independent) and family (a kind of needle or task).
//
// Heads are ranked by a mix over families: the score of a head is the weighted mean over families
// of its mean in each, equal weights unless told otherwise. A family with few probes so counts as
// much as one with many; which heads retrieve depends on what is retrieved.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::analysis {

struct ProbeSamples {
  int64_t num_heads = 0;              // all layers together
  std::vector<float> values;          // [num_probes, num_heads], NaN = did not count
  std::vector<std::string> clusters;  // per probe; empty = every probe stands for itself
  std::vector<std::string> families;  // per probe; empty = all of one

  [[nodiscard]] int64_t num_probes() const {
    return num_heads == 0 ? 0 : static_cast<int64_t>(values.size()) / num_heads;
  }
  void validate() const;  // std::invalid_argument where the sizes disagree
};

// The samples of one score table, [num_probes, num_heads], over these probes; clusters are (family,
// needle).
[[nodiscard]] ProbeSamples probe_samples(const std::vector<ProbeRecord>& probes,
                                         const std::vector<float>& samples,
                                         int64_t num_heads);

// Weight of each family, 0 or more; empty = all equal. A family that it does not name weighs 0.
// Where a score has samples of none of the named families, all weigh the same (induction is read
// from repeated tokens alone, whatever the mix of needles).
using FamilyMix = std::map<std::string, double>;

// "number=2,word=1"; "" or "equal" = all equal. InputError where it is not of that form or all
// weights are 0.
[[nodiscard]] FamilyMix parse_family_mix(const std::string& text);
[[nodiscard]] std::string format_family_mix(const FamilyMix& mix);

// Profiles state their mix among their options under this name, "equal" for the empty one.
inline constexpr const char* kFamilyMixOption = "family_mix";
[[nodiscard]] FamilyMix family_mix_of(const Provenance& provenance);

// InputError where the mix names a family that no probe has.
void check_family_mix(const FamilyMix& mix, const std::vector<std::string>& families);

// The mean score of every head under the mix, [num_heads]. Families without a number for a head are
// left out of its mean; NaN where none has one.
[[nodiscard]] std::vector<double> mixed_mean(const ProbeSamples& samples,
                                             const FamilyMix& mix = {});

}  // namespace headscope::analysis
