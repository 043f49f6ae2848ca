// The cache after eviction: a length of its own for every (sequence, layer, KV head), and the
// memory of what was evicted given back. Layers of which nothing was evicted stay in the full
// layout and attend exactly as a full cache does, bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "runtime/full_layer.h"
#include "runtime/kv_cache.h"
#include "runtime/ragged_layer.h"

namespace headscope::runtime {

class RaggedKvCache : public KvCache {
 public:
  // Of a prompt of `prompt_tokens`; its layers are to be set before the first attend().
  RaggedKvCache(int64_t num_layers, int64_t prompt_tokens);

  // A layer of which everything stays.
  void set_layer(int64_t layer, FullLayer full);
  void set_layer(int64_t layer, RaggedLayer ragged);

  // Throws std::invalid_argument for a layer that was not set.
  LayerAttention attend(const LayerStep& step) override;
  // The prompt's true length plus what came since, whatever was evicted.
  [[nodiscard]] int64_t next_position() const override { return position_; }
  [[nodiscard]] int64_t bytes_held() const override;

  // Forgets the tokens from `length` on; not below the prompt's end (std::invalid_argument), since
  // evicted keys do not come back. In layers with a sliding window also not below the start of the
  // last pass that found its slack used up.
  void truncate(int64_t length);

  [[nodiscard]] int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }
  [[nodiscard]] int64_t prompt_tokens() const { return prompt_tokens_; }
  // Whether anything of the layer was evicted.
  [[nodiscard]] bool is_evicted(int64_t layer) const;
  // Absolute positions held, ascending; tokens appended since the prompt included.
  [[nodiscard]] std::vector<int64_t> retained_positions(int64_t layer,
                                                        int64_t kv_head,
                                                        int64_t sequence = 0) const;

 private:
  using Layer = std::variant<std::monostate, FullLayer, RaggedLayer>;
  [[nodiscard]] size_t index(int64_t layer) const;

  std::vector<Layer> layers_;
  int64_t prompt_tokens_ = 0;
  int64_t position_ = 0;
};

}  // namespace headscope::runtime
