// CompressKV (arXiv 2508.02401, section 3): only the layer's semantic retrieval heads judge.
// Softmax weights of the last 8 queries summed over the window, average pooling over 5 positions,
// mean over the selector heads: one ranking per layer, of which every KV head keeps the best budget
// - window positions and the window.
//
// Quirks kept: pooling pads with zeros and counts them, so that the first and last positions are
// damped; no sinks are forced (they stay by their attention mass). Where it differs from the
// paper's code: positions are stored ascending, and budgets may differ between the KV heads of a
// layer, each then takes a prefix of the same ranking.
//
// With index_sets = kv_head every KV head has a ranking of its own, by the mean over the selector
// heads of its group; a group that has none is judged by all of its heads.
#include <ATen/ATen.h>

#include <vector>

#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

// The selector heads of every KV head, all of its own heads where none is among them.
std::vector<std::vector<int64_t>> selectors_of_groups(const LayerEvidence& evidence) {
  const int64_t num_kv_heads = evidence.k.size(1);
  const int64_t group = evidence.window_q.size(1) / num_kv_heads;
  std::vector<std::vector<int64_t>> selectors(static_cast<size_t>(num_kv_heads));
  for (const int64_t head : evidence.selector_heads) {
    selectors[static_cast<size_t>(head / group)].push_back(head);
  }
  for (size_t kv_head = 0; kv_head < selectors.size(); ++kv_head) {
    if (!selectors[kv_head].empty()) continue;
    for (int64_t i = 0; i < group; ++i) {
      selectors[kv_head].push_back(static_cast<int64_t>(kv_head) * group + i);
    }
  }
  return selectors;
}

at::Tensor ranking_per_kv_head(const LayerEvidence& evidence, int64_t rows) {
  const std::vector<std::vector<int64_t>> selectors = selectors_of_groups(evidence);
  std::vector<int64_t> judges;
  for (const std::vector<int64_t>& heads : selectors) {
    judges.insert(judges.end(), heads.begin(), heads.end());
  }
  const at::Tensor scores = window_scores(evidence, rows, judges);
  std::vector<at::Tensor> rankings;
  int64_t first = 0;
  for (const std::vector<int64_t>& heads : selectors) {
    const auto count = static_cast<int64_t>(heads.size());
    rankings.push_back(scores.narrow(/*dim=*/1, first, count).mean(/*dim=*/1, /*keepdim=*/true));
    first += count;
  }
  return at::cat(rankings, /*dim=*/1);
}

RetainedPositions retain_compresskv(const LayerEvidence& evidence) {
  const int64_t rows = judging_rows(evidence.budget_tokens, evidence.k.size(2), evidence.selection);
  if (rows == 0) {
    return retain_all(evidence);
  }
  return retain_best(evidence, selector_ranking(evidence, rows), rows);
}

}  // namespace

at::Tensor selector_ranking(const LayerEvidence& evidence, int64_t rows) {
  if (index_sets(evidence, IndexSets::kLayer) == IndexSets::kKvHead) {
    return ranking_per_kv_head(evidence, rows);
  }
  return window_scores(evidence, rows, evidence.selector_heads).mean(/*dim=*/1, /*keepdim=*/true);
}

EvictionPolicy compresskv_policy() {
  return {.name = "compresskv",
          .summary = "the keys the layer's semantic retrieval heads look at (CompressKV)",
          .judges_by_window = true,
          .needs_selector_heads = true,
          .allocator = "compresskv",
          .retain = retain_compresskv};
}

}  // namespace headscope::runtime
