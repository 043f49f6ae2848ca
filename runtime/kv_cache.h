// What an attention layer asks of a cache. A decoder calls attend() once per layer and forward
// pass; what is stored, and where, is the cache's own business.
//
// Sequences of different lengths share a batch by padding on the left: the last tokens of all of
// them stand in one column. A position here is such a column; sequence b's own position of a column
// is column - padding()[b], by which its keys are rotated. Padding is neither attended to, nor
// scored, nor retained.
//
// Shapes: B sequences, Hq query heads, Hkv KV heads, n new tokens, d head_dim. Keys come after
// rotary embedding and keep the positions they had in the prompt, whatever is evicted.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace headscope::runtime {

// One layer's part of a forward pass.
struct LayerStep {
  int64_t layer = 0;
  at::Tensor q;                  // [B, Hq, n, d]
  at::Tensor k;                  // [B, Hkv, n, d], the new tokens
  at::Tensor v;                  // [B, Hkv, n, d]
  double scale = 0.0;            // multiplies q.k
  int64_t attention_window = 0;  // 0 = full attention
};

struct LayerAttention {
  at::Tensor z;    // [B, Hq, n, d]
  at::Tensor lse;  // [B, Hq, n] float32
};

class KvCache {
 public:
  virtual ~KvCache() = default;

  // Appends the new tokens of one layer and attends. Layers come in order 0..num_layers-1; all
  // layers of a pass bring the same n.
  virtual LayerAttention attend(const LayerStep& step) = 0;

  // Absolute position of the next token: how many tokens went through, evicted ones (and padding)
  // included.
  [[nodiscard]] virtual int64_t next_position() const = 0;

  // Bytes allocated for keys and values now, slack included.
  [[nodiscard]] virtual int64_t bytes_held() const = 0;

  // Told before a prefill how many tokens it will bring in all its passes together, so that storage
  // can be taken at once. A hint: without it caches grow as tokens come.
  virtual void expect_prompt(int64_t /*num_tokens*/) {}

  // Told once, before the pass that holds the prompt's last tokens; a compressing cache evicts
  // during that pass, layer by layer. Plain caches need not care.
  virtual void expect_end_of_prompt() {}

  // Told before the first pass of a batch whose sequences differ in length: columns 0 ..
  // padding[b] - 1 of sequence b hold no token. std::logic_error where the cache knows no padding
  // or has begun; std::invalid_argument for negative counts, and in the first pass for another
  // batch.
  virtual void expect_padding(std::vector<int64_t> padding);
  // [B], or empty where there is none.
  [[nodiscard]] virtual std::span<const int64_t> padding() const { return {}; }
};

}  // namespace headscope::runtime
