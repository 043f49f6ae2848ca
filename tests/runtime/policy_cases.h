// Random layers as a policy sees them, and the float64 quantities that the policies' rules are
// stated in.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "runtime/eviction_policy.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime::test {

using Positions = std::vector<int64_t>;

inline Positions to_vector(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  const int64_t* data = whole.const_data_ptr<int64_t>();
  return {data, data + whole.numel()};
}

// What is kept: [layer][b * Hkv + h].
using Kept = std::vector<std::vector<Positions>>;

// A prompt's layers with their budgets.
struct PolicyCase {
  Sequence sequence;
  std::vector<std::vector<int64_t>> budgets;  // [L][Hkv]
  std::vector<int64_t> selectors;             // of every layer
  SelectionOptions selection;

  [[nodiscard]] int64_t num_layers() const { return sequence.shape.num_layers; }
  [[nodiscard]] int64_t num_keys() const { return sequence.k[0].size(2); }
  [[nodiscard]] int64_t batch() const { return sequence.k[0].size(0); }
  [[nodiscard]] int64_t num_kv_heads() const { return sequence.shape.num_kv_heads; }
  [[nodiscard]] int64_t group() const { return sequence.shape.query_group_size(); }

  // Softmax weights of all rows on all keys, causal: [B, Hq, S, S] float64.
  [[nodiscard]] at::Tensor attention(int64_t layer) const {
    const auto l = static_cast<size_t>(layer);
    const at::Tensor keys = sequence.k[l].to(at::kDouble).repeat_interleave(group(), 1);
    const at::Tensor logits =
        at::matmul(sequence.q[l].to(at::kDouble), keys.transpose(2, 3)) * sequence.scale;
    const at::Tensor seen = at::ones({num_keys(), num_keys()}, at::kBool).tril();
    return logits.masked_fill(seen.logical_not(), -INFINITY).softmax(-1);
  }
  // The last w rows on the keys before them: [B, Hq, w, S - w] float64.
  [[nodiscard]] at::Tensor window_attention(int64_t layer, int64_t w) const {
    return attention(layer).slice(2, num_keys() - w).slice(3, 0, num_keys() - w);
  }

  [[nodiscard]] LayerEvidence evidence(int64_t layer) const {
    const auto l = static_cast<size_t>(layer);
    const int64_t rows = std::min(num_keys(), selection.observation_window);
    return {.layer = layer,
            .window_q = sequence.q[l].slice(2, num_keys() - rows),
            .window_lse = {},
            .received = attention(layer).sum(2).to(at::kFloat),
            .k = sequence.k[l],
            .scale = sequence.scale,
            .attention_window = 0,
            .budget_tokens = budgets[l],
            .selector_heads = selectors,
            .selection = selection};
  }

  [[nodiscard]] Kept kept_by(const EvictionPolicy& policy) const {
    std::vector<LayerEvidence> layers;
    for (int64_t layer = 0; layer < num_layers(); ++layer) layers.push_back(evidence(layer));
    std::vector<RetainedPositions> retained;
    if (policy.retain_model != nullptr) {
      retained = policy.retain_model(layers);
    } else {
      for (const LayerEvidence& layer : layers) retained.push_back(policy.retain(layer));
    }
    Kept kept;
    for (const RetainedPositions& layer : retained) {
      std::vector<Positions>& rows = kept.emplace_back();
      for (const at::Tensor& row : layer) rows.push_back(to_vector(row));
    }
    return kept;
  }
};

// Layers whose attention differs in sharpness, so that layers and heads differ in what they need.
inline PolicyCase random_policy_case(int64_t num_layers,
                                     int64_t group,
                                     int64_t num_kv_heads,
                                     int64_t batch,
                                     int64_t num_keys,
                                     uint64_t seed) {
  PolicyCase c{random_sequence(small_shape(num_layers, group * num_kv_heads, num_kv_heads), batch,
                               num_keys, seed),
               {},
               {},
               {}};
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    at::Tensor& q = c.sequence.q[static_cast<size_t>(layer)];
    for (int64_t head = 0; head < q.size(1); ++head) {
      q.select(1, head).mul_(0.4 + 0.3 * static_cast<double>((layer + head) % 3));
    }
  }
  return c;
}

// Zero-padded pooling over `kernel` positions of the last dimension, padding counted.
inline at::Tensor pool_of(const at::Tensor& scores, const SelectionOptions& selection) {
  const int64_t kernel = selection.pooling_kernel;
  if (selection.pooling == Pooling::kNone) return scores;
  const at::Tensor windows =
      at::constant_pad_nd(scores, {kernel / 2, kernel / 2}).unfold(-1, kernel, 1);
  return selection.pooling == Pooling::kAverage ? windows.mean(-1) : windows.amax(-1);
}

// Positions of `scores` [n] from the best to the worst, the lower first among equal ones.
inline Positions best_first(const at::Tensor& scores) {
  const at::Tensor row = scores.to(at::kDouble).contiguous();
  const double* score = row.const_data_ptr<double>();
  Positions order(static_cast<size_t>(row.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return score[a] > score[b]; });
  return order;
}

// The best `count` of `scores` [S - w'] and the last `recent` of num_keys positions.
inline Positions best_and_recent(const at::Tensor& scores,
                                 int64_t count,
                                 int64_t recent,
                                 int64_t num_keys) {
  Positions kept = best_first(scores);
  kept.resize(static_cast<size_t>(count));
  std::sort(kept.begin(), kept.end());
  for (int64_t i = num_keys - recent; i < num_keys; ++i) kept.push_back(i);
  return kept;
}

}  // namespace headscope::runtime::test
