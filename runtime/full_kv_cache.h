// The plain cache: every key and value of every token.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/full_layer.h"
#include "runtime/kv_cache.h"
#include "runtime/query_window.h"

namespace headscope::runtime {

struct FullKvCacheOptions {
  int64_t reserve_tokens = 0;  // storage taken at the first append; 0 = grow as tokens come
  // Last prompt queries to remember per layer (also across two chunks), for the policies that judge
  // keys by them. 0 = none.
  int64_t window_tokens = 0;
  // Sums the attention that each key receives from all rows of the prompt, for the policies that
  // judge keys by it. Takes as long again as the attention itself.
  bool sums_attention = false;
};

class FullKvCache : public KvCache {
 public:
  explicit FullKvCache(int64_t num_layers, const FullKvCacheOptions& options = {});
  FullKvCache(const FullKvCache&) = delete;  // see fork()
  FullKvCache& operator=(const FullKvCache&) = delete;

  LayerAttention attend(const LayerStep& step) override;
  // Tokens that went through the last layer: within a pass still the pass's first position.
  [[nodiscard]] int64_t next_position() const override;
  // Keys and values; the remembered queries (a few rows per layer) are not counted.
  [[nodiscard]] int64_t bytes_held() const override;
  void expect_prompt(int64_t num_tokens) override;
  // From the next pass's end on the remembered queries stay those of the prompt's last tokens,
  // until truncate() cuts into them or clear().
  void expect_end_of_prompt() override;
  void expect_padding(std::vector<int64_t> padding) override;
  [[nodiscard]] std::span<const int64_t> padding() const override { return padding_; }

  [[nodiscard]] int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }
  [[nodiscard]] int64_t window_tokens() const { return options_.window_tokens; }
  // Views [B, Hkv, S, d] without a copy, valid until the next attend() of that layer.
  [[nodiscard]] at::Tensor keys(int64_t layer) const;
  [[nodiscard]] at::Tensor values(int64_t layer) const;

  // What is remembered of a layer's last prompt tokens, at most window_tokens rows.
  using Window = QueryWindow;
  [[nodiscard]] const Window& window(int64_t layer) const;
  [[nodiscard]] at::Tensor window_queries(int64_t layer) const { return window(layer).q; }
  [[nodiscard]] at::Tensor window_lse(int64_t layer) const { return window(layer).lse; }

  // Forgets the tokens from `length` on (a rejected draft, the question after a shared prefix).
  // Also mends a pass that stopped half-way. Storage stays.
  void truncate(int64_t length);
  // Forgets everything and gives the memory back.
  void clear();

  // A deep copy whose every sequence stands `num_copies` times in the batch. Costs bytes_held() of
  // memory and traffic per copy.
  [[nodiscard]] std::unique_ptr<FullKvCache> fork(int64_t num_copies = 1) const;
  [[nodiscard]] const FullLayer& layer(int64_t layer) const { return layers_[index(layer)]; }
  // A deep copy of one layer's keys and values. Costs its bytes.
  [[nodiscard]] FullLayer copy_layer(int64_t layer) const { return layers_[index(layer)].copy(); }
  // Moves a layer's keys and values out; the cache then holds nothing of it.
  [[nodiscard]] FullLayer release_layer(int64_t layer);

 private:
  [[nodiscard]] size_t index(int64_t layer) const;

  FullKvCacheOptions options_;
  std::vector<FullLayer> layers_;
  std::vector<Window> windows_;
  std::vector<int64_t> padding_;
  int64_t position_ = 0;
  int64_t expected_tokens_ = 0;
  bool prompt_ends_ = false;    // with the pass now running or to come
  bool window_frozen_ = false;  // the prompt is over
};

}  // namespace headscope::runtime
