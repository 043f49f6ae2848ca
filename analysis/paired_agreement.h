// Do two ways of asking the same questions put the heads in the same order?
#pragma once

#include <cstdint>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

struct PairedAgreement {
  double spearman = 0.0;  // rank correlation over heads of the two ways' mean scores
  // spearman -+ 1.96 standard errors by the jackknife over clusters (Efron & Stein 1981), cut to
  // -1..1; NaN where fewer than three clusters counted.
  double low = 0.0;
  double high = 0.0;
  double top_jaccard = 0.0;  // overlap of the two ways' top heads
  int64_t num_pairs = 0;     // probes that counted in both ways
  int64_t num_clusters = 0;
};

// Row i of both is the same question. Pairs of which one side has no number are left out on both.
// All figures are NaN where no pair is left. std::invalid_argument where the two do not match, or
// for a top_fraction outside (0, 1].
[[nodiscard]] PairedAgreement paired_agreement(const ProbeSamples& a,
                                               const ProbeSamples& b,
                                               const FamilyMix& mix = {},
                                               double top_fraction = 0.1);

}  // namespace headscope::analysis
