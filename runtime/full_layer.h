// Keys and values of one layer, nothing evicted: two contiguous buffers [B, Hkv, capacity, d] that
// grow along the third dimension.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "runtime/kv_cache.h"

namespace headscope::runtime {

// Tokens for which a layer of `tokens` tokens holds storage: a fixed schedule (64, then steps of 64
// tokens or an eighth, whichever is more), so that the size depends on the length alone and not on
// the chunks it came in. Slack is below max(64, tokens / 8). 0 for 0.
[[nodiscard]] int64_t full_capacity(int64_t tokens);

// std::invalid_argument unless q, k and v of the step have the shapes of kv_cache.h, one dtype and
// one device, and `layer` is below num_layers.
void check_step(const LayerStep& step, int64_t num_layers);

class FullLayer {
 public:
  FullLayer() = default;
  FullLayer(FullLayer&&) noexcept = default;
  FullLayer& operator=(FullLayer&&) noexcept = default;
  FullLayer(const FullLayer&) = delete;  // two owners of one growing buffer; see copy()
  FullLayer& operator=(const FullLayer&) = delete;
  ~FullLayer() = default;

  // Takes storage for this many tokens on the next append, if that is more than it needs.
  void reserve(int64_t tokens) { reserved_tokens_ = tokens; }

  // Leading entries of each sequence that hold no token, none of them negative; all zero is as good
  // as empty. To be set before the first attend(). std::invalid_argument for a negative one.
  void set_padding(std::vector<int64_t> padding);
  [[nodiscard]] const std::vector<int64_t>& padding() const { return padding_; }

  // Appends the step's keys and values and attends over all that is held. Of rows that are padding
  // themselves z is 0 and lse minus infinity.
  LayerAttention attend(const LayerStep& step);

  [[nodiscard]] int64_t length() const { return length_; }
  // Views [B, Hkv, length, d] of the buffers, valid until the next attend(); undefined before the
  // first one.
  [[nodiscard]] at::Tensor keys() const;
  [[nodiscard]] at::Tensor values() const;
  [[nodiscard]] int64_t bytes_held() const;

  // Forgets the tokens from `length` on; storage stays.
  void truncate(int64_t length);

  // A deep copy with every sequence repeated `num_copies` times in a row. Costs its bytes.
  [[nodiscard]] FullLayer copy(int64_t num_copies = 1) const;

 private:
  void append(const at::Tensor& k, const at::Tensor& v);
  [[nodiscard]] LayerAttention attend_padded(const LayerStep& step) const;
  void grow(const at::Tensor& like, int64_t capacity);

  at::Tensor keys_;               // [B, Hkv, capacity, d]
  at::Tensor values_;             // [B, Hkv, capacity, d]
  std::vector<int64_t> padding_;  // [B], or empty
  int64_t length_ = 0;
  int64_t reserved_tokens_ = 0;
};

}  // namespace headscope::runtime
