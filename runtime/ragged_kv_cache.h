// The cache after eviction: a length of its own for every (sequence, layer, KV head), and the
// memory of what was evicted given back. Layers of which nothing was evicted stay in the full
// layout and attend exactly as a full cache does, bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "runtime/full_layer.h"
#include "runtime/kv_cache.h"
#include "runtime/layer_eviction.h"
#include "runtime/query_window.h"
#include "runtime/ragged_layer.h"

namespace headscope::runtime {

class RaggedKvCache : public KvCache {
 public:
  // Of a prompt of `prompt_tokens` columns, padding included; its layers are to be set before the
  // first attend(). `padding`: of each sequence, or empty.
  RaggedKvCache(int64_t num_layers, int64_t prompt_tokens, std::vector<int64_t> padding = {});

  // A layer of which everything stays.
  void set_layer(int64_t layer, FullLayer full);
  void set_layer(int64_t layer, RaggedLayer ragged);

  // Throws std::invalid_argument for a layer that was not set.
  LayerAttention attend(const LayerStep& step) override;
  // The prompt's true length plus what came since, whatever was evicted.
  [[nodiscard]] int64_t next_position() const override { return position_; }
  [[nodiscard]] int64_t bytes_held() const override;
  [[nodiscard]] std::span<const int64_t> padding() const override { return padding_; }

  // Evicts from a layer what exceeds the budget (layer_eviction.h); a layer in the full layout of
  // which everything stays is left untouched.
  void evict_layer(const LayerBudget& budget, const QueryWindow& window);
  // Whether a KV head of the layer holds more tokens than `most` [Hkv] allows it.
  [[nodiscard]] bool exceeds(int64_t layer, std::span<const int64_t> most) const;
  // Position after the layer's last token: within a pass ahead of next_position().
  [[nodiscard]] int64_t layer_end(int64_t layer) const;
  // The prompt was still being read when its layers were set; what came until now belongs to it.
  void end_prompt() { prompt_tokens_ = position_; }

  // Forgets the tokens from `length` on; not below the prompt's end or the last eviction
  // (std::invalid_argument), since evicted keys do not come back. In layers with a sliding window
  // also not below the start of the last pass that found its slack used up.
  void truncate(int64_t length);

  [[nodiscard]] int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }
  [[nodiscard]] int64_t prompt_tokens() const { return prompt_tokens_; }
  // Null where nothing of the layer was evicted.
  [[nodiscard]] const RaggedLayer* ragged_layer(int64_t layer) const {
    return std::get_if<RaggedLayer>(&layers_[index(layer)]);
  }
  // Whether anything of the layer was evicted.
  [[nodiscard]] bool is_evicted(int64_t layer) const;
  // Positions held, ascending, each counted from its own sequence's first token; tokens appended
  // since the prompt included.
  [[nodiscard]] std::vector<int64_t> retained_positions(int64_t layer,
                                                        int64_t kv_head,
                                                        int64_t sequence = 0) const;

 private:
  using Layer = std::variant<std::monostate, FullLayer, RaggedLayer>;
  [[nodiscard]] size_t index(int64_t layer) const;

  std::vector<Layer> layers_;
  std::vector<int64_t> padding_;
  int64_t prompt_tokens_ = 0;
  int64_t position_ = 0;
};

}  // namespace headscope::runtime
