// The seam through which tools watch a forward pass: queries, keys, values and the attention output
// of each layer, named q, k, v, z as in TransformerLens. What it sees it must not write to: a pass
// is changed through model/head_mask.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace headscope::model {

// Valid only during the call. Hugging Face's dimension order, q and k after rotary embedding.
struct LayerView {
  int64_t layer = 0;
  int64_t first_position = 0;  // absolute position of the first new token
  double scale = 0.0;          // multiplies q.k in the softmax
  int64_t attention_window = 0;
  at::Tensor q;    // [B, num_query_heads, n, head_dim]
  at::Tensor k;    // [B, num_kv_heads, n, head_dim], the new tokens only
  at::Tensor v;    // [B, num_kv_heads, n, head_dim]
  at::Tensor z;    // [B, num_query_heads, n, head_dim], as the output projection gets it
  at::Tensor lse;  // [B, num_query_heads, n] float32
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_layer(const LayerView& view) = 0;
};

}  // namespace headscope::model
