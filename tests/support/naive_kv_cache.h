// The plainest cache there is, in double precision: concatenates, builds the whole mask,
// multiplies. An oracle for attention and caches; shares no code with them.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/kv_cache.h"

namespace headscope::testing {

// Attention of the last n of S positions, lower-right aligned; float64 inside.
inline runtime::LayerAttention naive_attention(const at::Tensor& q,  // [B, Hq, n, d]
                                               const at::Tensor& k,  // [B, Hkv, S, d]
                                               const at::Tensor& v,  // [B, Hkv, S, d]
                                               double scale,
                                               int64_t attention_window) {
  const int64_t n = q.size(2);
  const int64_t num_keys = k.size(2);
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor keys = k.to(at::kDouble).repeat_interleave(group, 1);
  const at::Tensor values = v.to(at::kDouble).repeat_interleave(group, 1);
  const at::Tensor row = at::arange(num_keys - n, num_keys).unsqueeze(1);
  const at::Tensor column = at::arange(num_keys).unsqueeze(0);
  at::Tensor hidden = column > row;
  if (attention_window > 0) hidden = hidden.logical_or(column <= row - attention_window);
  const at::Tensor scores = (at::matmul(q.to(at::kDouble), keys.transpose(2, 3)) * scale)
                                .masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return {at::matmul(at::softmax(scores, -1), values).to(q.scalar_type()),
          at::logsumexp(scores, -1).to(at::kFloat)};
}

class NaiveKvCache : public runtime::KvCache {
 public:
  explicit NaiveKvCache(int64_t num_layers)
      : keys_(static_cast<size_t>(num_layers)), values_(static_cast<size_t>(num_layers)) {}

  runtime::LayerAttention attend(const runtime::LayerStep& step) override {
    at::Tensor& keys = keys_[static_cast<size_t>(step.layer)];
    at::Tensor& values = values_[static_cast<size_t>(step.layer)];
    keys = keys.defined() ? at::cat({keys, step.k}, 2) : step.k.clone();
    values = values.defined() ? at::cat({values, step.v}, 2) : step.v.clone();
    return naive_attention(step.q, keys, values, step.scale, step.attention_window);
  }
  [[nodiscard]] int64_t next_position() const override {
    return keys_.back().defined() ? keys_.back().size(2) : 0;
  }
  [[nodiscard]] int64_t bytes_held() const override {
    size_t bytes = 0;
    for (size_t layer = 0; layer < keys_.size(); ++layer) {
      if (keys_[layer].defined()) bytes += keys_[layer].nbytes() + values_[layer].nbytes();
    }
    return static_cast<int64_t>(bytes);
  }

 private:
  std::vector<at::Tensor> keys_;
  std::vector<at::Tensor> values_;
};

}  // namespace headscope::testing
