// CompressKV (arXiv 2508.02401, section 3): only the layer's semantic retrieval heads judge.
// Softmax weights of the last 8 queries summed over the window, average pooling over 5 positions,
// mean over the selector heads: one ranking per layer, of which every KV head keeps the best budget
// - window positions and the window.
//
// Quirks kept: pooling pads with zeros and counts them, so that the first and last positions are
// damped; no sinks are forced (they stay by their attention mass). Where it differs from the
// paper's code: positions are stored ascending, and budgets may differ between the KV heads of a
// layer, each then takes a prefix of the same ranking.
#include <ATen/ATen.h>

#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

RetainedPositions retain_compresskv(const LayerEvidence& evidence) {
  const int64_t rows = judging_rows(evidence.budget_tokens, evidence.k.size(2), evidence.selection);
  if (rows == 0) {
    return retain_all(evidence);
  }
  const at::Tensor scores = window_scores(evidence, rows, evidence.selector_heads);
  return retain_best(evidence, scores.mean(/*dim=*/1, /*keepdim=*/true), rows);
}

}  // namespace

EvictionPolicy compresskv_policy() {
  return {.name = "compresskv",
          .summary = "the keys the layer's semantic retrieval heads look at (CompressKV)",
          .evicts = true,
          .judges_by_window = true,
          .needs_selector_heads = true,
          .defaults = {},
          .retain = retain_compresskv};
}

}  // namespace headscope::runtime
