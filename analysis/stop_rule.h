// When have enough probes been run? When the set of top heads would hardly change if all was
// measured again.
//
// After n probes every family is halved by whole needles, 100 times (seeded). A halving's overlap J
// of the two halves' top sets is that of two measurements of n / 2 probes; for two of n probes it
// is taken as 1 - (1 - J) / sqrt(2) (stability.h: overlap_of_repetition()). The run may stop when
//   1. `min_probes` probes counted,
//   2. in a share of at least `confidence` of the halvings that overlap is at least `overlap`, and
//   3. the top set overlaps by at least `overlap` with that of `look_back` probes ago.
// The share in 2 is how sure the rule is: how often a repetition of the whole measurement would
// find the top set again, as far as this measurement can tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

struct StopOptions {
  double top_fraction = 0.1;  // of the heads; in (0, 1]
  double overlap = 0.9;       // Jaccard; in (0, 1]
  double confidence = 0.9;    // in (0, 1]
  int64_t min_probes = 24;    // that counted; >= 1
  int64_t look_back = 16;     // probes, counted or not; >= 1
  int64_t num_splits = 100;   // >= 1
  uint64_t seed = 0;
  FamilyMix mix = {};
};

struct StopDecision {
  bool stop = false;
  std::vector<size_t> top_heads;   // layer * num_query_heads + head, ascending
  int64_t num_probes = 0;          // that counted
  double expected_overlap = 0.0;   // mean over halvings; NaN where nothing can be halved
  double confidence = 0.0;         // share of the halvings that reach `overlap`
  double overlap_with_past = 0.0;  // NaN where there were no `look_back` probes
  std::string reason;              // one sentence, with the figures
};

// `samples`: of one score, probes in the order in which they ran; that order must not follow the
// needles or families, else the past is another experiment. std::invalid_argument for an option out
// of range.
[[nodiscard]] StopDecision decide_stop(const ProbeSamples& samples,
                                       const StopOptions& options = {});

}  // namespace headscope::analysis
