// Random queries, keys and values of a pretended decoder, fed to a cache pass
// by pass, and the plain float64 attention they are held against.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "outputs/model_shape.h"
#include "runtime/kv_cache.h"

namespace headscope::runtime::test {

inline ModelShape small_shape(int64_t num_layers,
                              int64_t num_query_heads,
                              int64_t num_kv_heads,
                              int64_t head_dim = 8) {
  ModelShape shape;
  shape.architecture = "llama";
  shape.num_layers = num_layers;
  shape.num_query_heads = num_query_heads;
  shape.num_kv_heads = num_kv_heads;
  shape.head_dim = head_dim;
  shape.hidden_size = num_query_heads * head_dim;
  shape.vocab_size = 32;
  shape.max_positions = 4096;
  return shape;
}

// q, k, v of every layer for a whole sequence; peaked, so that the softmax is
// far from uniform.
struct Sequence {
  ModelShape shape;
  double scale = 0.0;
  std::vector<at::Tensor> q;  // per layer [B, Hq, S, d]
  std::vector<at::Tensor> k;  // per layer [B, Hkv, S, d]
  std::vector<at::Tensor> v;

  [[nodiscard]] int64_t window(int64_t layer) const {
    return shape.attention_window.empty() ? 0 : shape.attention_window[static_cast<size_t>(layer)];
  }
  [[nodiscard]] LayerStep step(int64_t layer, int64_t begin, int64_t end) const {
    const auto l = static_cast<size_t>(layer);
    return {layer,
            q[l].slice(2, begin, end),
            k[l].slice(2, begin, end),
            v[l].slice(2, begin, end),
            scale,
            window(layer)};
  }
};

inline Sequence random_sequence(const ModelShape& shape,
                                int64_t batch,
                                int64_t num_tokens,
                                uint64_t seed,
                                at::ScalarType dtype = at::kFloat) {
  at::manual_seed(seed);
  Sequence sequence;
  sequence.shape = shape;
  sequence.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const auto values = [&](int64_t heads, double size) {
      return (at::randn({batch, heads, num_tokens, shape.head_dim}) * size).to(dtype);
    };
    sequence.q.push_back(values(shape.num_query_heads, 2.0));
    sequence.k.push_back(values(shape.num_kv_heads, 1.0));
    sequence.v.push_back(values(shape.num_kv_heads, 1.0));
  }
  return sequence;
}

// One pass over tokens [begin, end); the attention of every layer.
inline std::vector<LayerAttention> feed(KvCache& cache,
                                        const Sequence& sequence,
                                        int64_t begin,
                                        int64_t end) {
  std::vector<LayerAttention> attention;
  for (int64_t layer = 0; layer < sequence.shape.num_layers; ++layer) {
    attention.push_back(cache.attend(sequence.step(layer, begin, end)));
  }
  return attention;
}

// A prompt of `num_tokens` in chunks, its end announced as a decoder does.
inline std::vector<LayerAttention> feed_prompt(KvCache& cache,
                                               const Sequence& sequence,
                                               int64_t num_tokens,
                                               int64_t chunk) {
  std::vector<LayerAttention> last;
  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t end = std::min(num_tokens, begin + chunk);
    if (end == num_tokens) {
      cache.expect_end_of_prompt();
    }
    last = feed(cache, sequence, begin, end);
  }
  return last;
}

// softmax(scale q.k) v in float64 over the keys that `visible` [B, Hkv, n, S]
// (bool) allows, query head h reading KV head h / (Hq / Hkv).
inline at::Tensor plain_attention(const at::Tensor& q,
                                  const at::Tensor& k,
                                  const at::Tensor& v,
                                  double scale,
                                  const at::Tensor& visible) {
  const int64_t group = q.size(1) / k.size(1);
  const auto per_query_head = [&](const at::Tensor& t) {
    return t.repeat_interleave(group, /*dim=*/1);
  };
  const at::Tensor logits =
      at::einsum("bhnd,bhsd->bhns", {q.to(at::kDouble), per_query_head(k).to(at::kDouble)}) * scale;
  const at::Tensor weight =
      logits.masked_fill(per_query_head(visible).logical_not(), -INFINITY).softmax(-1);
  return at::einsum("bhns,bhsd->bhnd", {weight, per_query_head(v).to(at::kDouble)});
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace headscope::runtime::test
