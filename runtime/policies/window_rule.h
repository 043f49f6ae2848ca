// What the policies that judge keys by an observation window share: how large the window is under a
// small budget, and how scores, sinks and the window become retained positions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

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

// Sinks, the best of `scores` and the recent tokens of every (sequence, KV head). One ranking for
// the whole layer when the second dimension of `scores` is 1.
[[nodiscard]] RetainedPositions retain_best(const LayerEvidence& evidence,
                                            const at::Tensor& scores,  // [B, Hkv or 1, S - rows]
                                            int64_t rows);

// Every key of every row (a tensor of all indices, shared).
[[nodiscard]] RetainedPositions retain_all(const LayerEvidence& evidence);

}  // namespace headscope::runtime
