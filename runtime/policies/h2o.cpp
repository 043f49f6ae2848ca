// H2O (arXiv 2306.14048): heavy hitters, the keys that received the most attention from all queries
// of the prompt, and the most recent tokens. Half of the budget each (quirk heavy_share). Per KV
// head, by the mean over its query heads (quirk group_max: the maximum).
//
// Where it differs from the paper: the paper evicts one key per decode step with the sums kept up;
// here, as in the usual comparisons, eviction happens once, after the prompt. Sums favour keys that
// more rows could see; quirk mean_per_row divides by that number. Not pooled.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/ops.h"
#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

// How many rows of the prompt saw each key, [S] float32.
at::Tensor rows_seeing(const LayerEvidence& evidence) {
  const int64_t num_keys = evidence.k.size(2);
  const at::Tensor rows = at::arange(num_keys, 0, -1, evidence.received.options());
  return evidence.attention_window > 0
             ? rows.clamp_max(static_cast<double>(evidence.attention_window))
             : rows;
}

RetainedPositions retain_h2o(const LayerEvidence& evidence) {
  const int64_t num_keys = evidence.k.size(2);
  at::Tensor scores = evidence.received;
  if (evidence.selection.quirks.mean_per_row) {
    scores = scores / rows_seeing(evidence);
  }
  const bool one_set = index_sets(evidence, IndexSets::kKvHead) == IndexSets::kLayer;
  const at::Tensor votes =
      one_set ? scores.mean(/*dim=*/1, /*keepdim=*/true).expand({-1, evidence.k.size(1), -1})
              : group_votes(evidence, scores);
  at::Tensor ranked = with_sinks(votes, evidence.selection.num_sink_tokens).flatten(0, 1);
  std::vector<int64_t> counts;
  for (int64_t row = 0; row < ranked.size(0); ++row) {
    const auto head = static_cast<size_t>(row % evidence.k.size(1));
    const int64_t budget = std::min(evidence.budget_tokens[head], num_keys);
    const auto heavy =
        static_cast<int64_t>(evidence.selection.quirks.heavy_share * static_cast<double>(budget));
    // Recent tokens outrank every sum, so that the best `budget` are they and the heavy hitters.
    ranked[row]
        .narrow(/*dim=*/0, num_keys - (budget - heavy), budget - heavy)
        .fill_(std::numeric_limits<float>::infinity());
    counts.push_back(budget);
  }
  return kernels::select_retained(ranked, counts);
}

}  // namespace

EvictionPolicy h2o_policy() {
  return {
      .name = "h2o",
      .summary = "the keys with the most attention from the whole prompt, and recent ones (H2O)",
      .judges_by_prompt = true,
      .defaults = by_position(/*num_sink_tokens=*/0),
      .published = by_position(/*num_sink_tokens=*/0),
      .retain = retain_h2o};
}

}  // namespace headscope::runtime
