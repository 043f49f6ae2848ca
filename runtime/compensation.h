// One token in place of those a head has dropped (RazorAttention, arXiv 2407.15891 section 3.2):
// the mean of their keys and the mean of their values, weighted by their number N:
//
//   out = (N exp(q k^) v^ + sum_n exp(q k_n) v_n) / (N exp(q k^) + sum_n exp(q k_n))
//
// which is attention over one more key whose logit is raised by log N.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "runtime/eviction_policy.h"
#include "runtime/kv_cache.h"

namespace headscope::runtime {

struct Compensation {
  at::Tensor key;        // [B, Hkv, d] dtype of the cache
  at::Tensor value;      // [B, Hkv, d]
  at::Tensor log_count;  // [B, Hkv] float32, log N; -inf where a head dropped nothing

  // Keys and values; the counts are bookkeeping.
  [[nodiscard]] int64_t bytes_held() const;
};

// Whether heads that evict get a compensation token under these settings: then each keeps one real
// token less than its budget.
[[nodiscard]] bool is_compensated(const EvictionPolicy& policy, const LayerEvidence& evidence);
[[nodiscard]] bool is_compensated(const EvictionPolicy& policy,
                                  const SelectionOptions& selection,
                                  int64_t attention_window);

// Of every row the keys that are not among `retained` (as RetainedPositions).
[[nodiscard]] Compensation compensate(const at::Tensor& keys,    // [B, Hkv, S, d]
                                      const at::Tensor& values,  // [B, Hkv, S, d]
                                      const RetainedPositions& retained);

// Attention over one more key per KV head, from attention over the others.
[[nodiscard]] LayerAttention with_compensation(const LayerAttention& others,
                                               const LayerStep& step,
                                               const Compensation& compensation);

}  // namespace headscope::runtime
