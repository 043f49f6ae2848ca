// Does a model have retrieval heads at all, and in which layers? Heads are always ranked; a ranking
// alone does not say that its first is any good.
//
// The rule. A query head retrieves where the lower bound of its interval (bootstrap over needles,
// bootstrap.h) exceeds the largest of
//   - the floor, 0.1 of its attention (the threshold that Retrieval Head, 2404.15574, puts on its
//   own
//     score),
//   - the no-needle control: the 99th percentile over all heads of their mean mass on the sentence
//   in
//     the needle's place, where the needle was left out,
//   - the head's own mean mass in that control.
// A model retrieves where at least one head does and the random-head control agrees: the top heads
// chosen by one half of the needles have, on the other half, a mean score above the 99th percentile
// of as many other heads drawn at random from the same layers.
// Where a control is absent the verdict rests on the others, and says so.
//
// A layer without such a head has nothing to select by: its selector falls back to all heads. So do
// all layers of a model that does not retrieve.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/bootstrap.h"
#include "analysis/probe_samples.h"
#include "outputs/head_profile.h"

namespace headscope::analysis {

struct VerdictOptions {
  double floor = 0.1;              // 0..1
  double control_quantile = 0.99;  // in (0, 1)
  double top_fraction = 0.1;       // of the heads, for the random-head control; in (0, 1]
  int64_t num_splits = 20;         // halvings of the needles, >= 1
  int64_t num_draws = 50;          // random sets per halving, >= 1
  BootstrapOptions bootstrap;      // its seed is also that of the halvings and draws
  FamilyMix mix = {};
};

// Of the top heads of one half of the needles, on the other half.
struct RandomHeadControl {
  double top = 0.0;          // their mean score; NaN where nothing can be compared
  double random_mean = 0.0;  // of random other heads of the same layers
  double random_high = 0.0;  // the control_quantile over draws
  [[nodiscard]] bool passed() const { return top > random_high; }
};

struct RetrievalVerdict {
  bool judged = false;         // false: fewer than two needles counted, nothing can be said
  bool has_controls = false;   // no-needle probes were there
  double control_level = 0.0;  // their percentile over heads; NaN without
  double threshold = 0.0;      // the larger of floor and control_level
  RandomHeadControl random;
  std::vector<bool> retrieves;           // [num_layers * num_query_heads]
  std::vector<int64_t> heads_per_layer;  // how many retrieve
  int64_t num_heads = 0;                 // in all layers
  bool model_retrieves = false;
  // Layers in which a selector should use all heads: none of theirs retrieves (unscored ones
  // included), or the model does not. Empty where not judged.
  std::vector<int64_t> selector_fallback;
  std::vector<int64_t> unscored_layers;  // sliding window: no number at all
  std::vector<std::string> notes;        // what is absent or weak, one sentence each
};

// `samples` [num_probes, num_layers * num_query_heads] of a score in 0..1; `controls` likewise,
// without probes where there are none. std::invalid_argument where sizes disagree.
[[nodiscard]] RetrievalVerdict judge_retrieval(const ProbeSamples& samples,
                                               const ProbeSamples& controls,
                                               int64_t num_layers,
                                               const VerdictOptions& options = {});

// The same of a profile's `srh`: a mean over steps, so that a control, whose answers are of other
// lengths, can be compared. Not judged, with a note, where the profile lacks it.
[[nodiscard]] RetrievalVerdict judge_retrieval(const HeadProfile& profile,
                                               const VerdictOptions& options = {});

}  // namespace headscope::analysis
