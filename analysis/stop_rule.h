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
#include <optional>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"
#include "outputs/head_profile.h"

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
  std::string score;               // by which heads were ranked; empty where not of a profile
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

// The same of a profile's selecting score; its probes must stand in the order in which they ran.
// With no score at all it is too early.
[[nodiscard]] StopDecision decide_stop(const HeadProfile& profile, const StopOptions& options = {});

// The score by which heads are selected: srh where there is one, else the first by name. Empty
// where there is none.
[[nodiscard]] std::string selecting_score(const HeadProfile& profile);

// A profile that was measured until the rule stopped says so among its options, under names that
// begin with this, and so can be judged again. None for any other. InputError where a value is no
// number.
inline constexpr const char* kStopOptionPrefix = "stop_";
void describe_stop(const StopOptions& options, Provenance& provenance);
[[nodiscard]] std::optional<StopOptions> stop_options_of(const Provenance& provenance);

}  // namespace headscope::analysis
