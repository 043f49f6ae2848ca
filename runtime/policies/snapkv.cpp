// SnapKV (arXiv 2404.14469): the last queries of the prompt vote for the keys before them. Per
// query head: softmax weights summed over the window's rows, pooled over positions; per KV head:
// the mean (quirk group_max: the maximum) of its own query heads kG .. kG + G - 1, taken after
// pooling (for average pooling the order makes no difference, for max pooling it does); then the
// best budget - window positions and the window.
//
// Where it differs from others: the paper's code stores one selection per query head, which needs G
// times the memory; the group mean is the usual GQA form. The comparison code published with
// CompressKV averages query heads k, k + K, k + 2K, … instead, which mixes heads of different KV
// heads (docs/methods.md). Window 8 and average pooling over 5 are that comparison's settings; the
// paper's own window is 32.
#include <ATen/ATen.h>

#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

RetainedPositions retain_snapkv(const LayerEvidence& evidence) {
  const int64_t rows = judging_rows(evidence.budget_tokens, evidence.k.size(2), evidence.selection);
  if (rows == 0) {
    return retain_all(evidence);
  }
  return retain_best(evidence, window_ranking(evidence, rows, IndexSets::kKvHead), rows);
}

}  // namespace

EvictionPolicy snapkv_policy() {
  return {.name = "snapkv",
          .summary = "the keys the last queries look at, per KV head (SnapKV)",
          .judges_by_window = true,
          .published = {.observation_window = 32},
          .retain = retain_snapkv};
}

}  // namespace headscope::runtime
