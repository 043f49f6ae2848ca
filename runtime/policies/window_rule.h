// What the policies that judge keys by an observation window share: how large the window is under a
// small budget, and how scores, sinks and the window become retained positions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/eviction_policy.h"

namespace headscope::runtime {

// Prompt rows that judge the layer's keys: selection.observation_window, but at most half of the
// largest budget that really evicts (is below num_keys), and at least 1. 0 when nothing is evicted.
[[nodiscard]] int64_t judging_rows(std::span<const int64_t> budget_tokens,
                                   int64_t num_keys,
                                   const SelectionOptions& selection);

// Recent tokens a head keeps in any case: `rows`, at most half of its budget, and more only where
// fewer than the budget's rest could be chosen by score. 0 for a budget of 0.
[[nodiscard]] int64_t recent_tokens(int64_t budget, int64_t num_keys, int64_t rows);

// Softmax weights of the judging rows on the keys before them, summed over rows and pooled over
// positions, per selected query head: [B, num_heads, S - rows] float32. `heads` empty = all.
[[nodiscard]] at::Tensor window_scores(const LayerEvidence& evidence,
                                       int64_t rows,
                                       std::span<const int64_t> heads);

// One vote per KV head from those of its query heads kG .. kG + G - 1: their mean, or their maximum
// (MethodQuirks::group_max).
[[nodiscard]] at::Tensor group_votes(const LayerEvidence& evidence,
                                     const at::Tensor& scores);  // [B, Hq, n] -> [B, Hkv, n]

// The ranking of all window methods but those with selector heads: window_scores() of all heads,
// voted on by group, or averaged over the layer where `sets` (or the plan) wants one set for it.
[[nodiscard]] at::Tensor window_ranking(const LayerEvidence& evidence, int64_t rows, IndexSets own);

// The plan's index sets, or the method's own.
[[nodiscard]] IndexSets index_sets(const LayerEvidence& evidence, IndexSets own);

// The pooling of the plan over the last dimension of any scores; the padding is counted.
[[nodiscard]] at::Tensor pooled(const at::Tensor& scores,  // [B, heads, n]
                                const SelectionOptions& selection);

// Sinks, the best of `scores` and the recent tokens of every (sequence, KV head). One ranking for
// the whole layer when the second dimension of `scores` is 1.
[[nodiscard]] RetainedPositions retain_best(const LayerEvidence& evidence,
                                            const at::Tensor& scores,  // [B, Hkv or 1, S - rows]
                                            int64_t rows);

// The same with a number of chosen keys for every row b * Hkv + h, sinks among them, before the
// `recent` last ones. chosen[r] is at most S - rows.
[[nodiscard]] RetainedPositions retain_chosen(const LayerEvidence& evidence,
                                              const at::Tensor& scores,  // [B, Hkv or 1, S - rows]
                                              const std::vector<int64_t>& chosen,
                                              int64_t recent);

// Scores with +inf at the sinks, so that they outrank every other key.
[[nodiscard]] at::Tensor with_sinks(const at::Tensor& scores, int64_t num_sinks);

// Every key of every row (a tensor of all indices, shared).
[[nodiscard]] RetainedPositions retain_all(const LayerEvidence& evidence);

}  // namespace headscope::runtime
