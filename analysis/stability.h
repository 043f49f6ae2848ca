// Would the same measurement, repeated, put the heads in the same order? Random halves of the
// probes answer it: clusters (probes of one needle) stay whole, and every family is halved by
// itself, so that both halves hold the same mix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

struct StabilityOptions {
  int64_t num_splits = 50;    // random halvings, >= 1
  double top_fraction = 0.1;  // of the heads, for the overlap; in (0, 1]
  uint64_t seed = 0;
  FamilyMix mix = {};
};

struct SplitHalf {
  double spearman = 0.0;  // mean over halvings, of the two halves' mean scores
  // Spearman-Brown: what two measurements of the full size would give. Exact for linear
  // correlations; of ranks it is some .03 too high where few heads stand out and the rest is noise.
  double spearman_full = 0.0;
  double top_jaccard = 0.0;  // mean over halvings, of the two halves' top heads
  // What two measurements of the full size would give, by overlap_of_repetition().
  double top_jaccard_full = 0.0;
  int64_t num_probes = 0;  // in both halves together
  int64_t num_clusters = 0;
  std::vector<std::string> left_out;  // families of one cluster, which cannot be halved
};

// All numbers are NaN where no family has two clusters that counted. std::invalid_argument for an
// option out of range.
[[nodiscard]] SplitHalf split_half(const ProbeSamples& samples,
                                   const StabilityOptions& options = {});

// The overlap of the top heads in each halving.
[[nodiscard]] std::vector<double> half_overlaps(const ProbeSamples& samples,
                                                const StabilityOptions& options = {});

// From the overlap (Jaccard) of two halves' top sets to that of two measurements of the full size.
// Heads change sides where noise exceeds their distance to the cut, so the share that does is
// proportional to the noise, which falls with the square root of the number of probes:
//   1 - J_full = (1 - J_half) / sqrt(2).
[[nodiscard]] double overlap_of_repetition(double half_overlap);

// The same figures for subsets of 8, 16, 24, 48, 80, 160, 320, ... probes up to all of them, drawn
// by whole clusters, evenly over families: each halving draws its own subset. A size is left out
// where clusters are too large to draw about so many probes. `num_probes` is what was drawn on
// average.
[[nodiscard]] std::vector<SplitHalf> stability_curve(const ProbeSamples& samples,
                                                     const StabilityOptions& options = {});

}  // namespace headscope::analysis
