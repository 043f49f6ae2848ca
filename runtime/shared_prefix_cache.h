// One prefix, many continuations: the keys and values of the prefix are held once, each sequence
// holds its own from there on. A row's attention is that over the prefix and that over its own
// sequence, merged by their log-sum-exps, which is exact (FlashInfer's cascade, 2501.01005).
//
// A pass brings any number of rows for each sequence, side by side as one batch entry [1, n]; in
// which order, and how many, is said before the pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "runtime/full_kv_cache.h"
#include "runtime/full_layer.h"
#include "runtime/kv_cache.h"

namespace headscope::runtime {

class SharedPrefixCache final : public KvCache {
 public:
  // `prefix` holds one sequence (B = 1) of at least one token. It is not owned, outlives this cache
  // and does not change meanwhile.
  SharedPrefixCache(const FullKvCache& prefix, int64_t num_sequences);

  // How many rows the next pass brings for each sequence, 0 or more; they come in this order.
  void expect_rows(std::vector<int64_t> rows);
  // The absolute position of each of those rows.
  [[nodiscard]] std::vector<int64_t> row_positions() const;

  // The step's tensors are [1, heads, n, d], n as expect_rows() said; else std::invalid_argument.
  LayerAttention attend(const LayerStep& step) override;

  // Tokens of a sequence, prefix included: within a pass without the pass's rows.
  [[nodiscard]] int64_t length(int64_t sequence) const;
  // The longest sequence's.
  [[nodiscard]] int64_t next_position() const override;
  // What was allocated beside the prefix.
  [[nodiscard]] int64_t bytes_held() const override;
  [[nodiscard]] int64_t num_sequences() const { return static_cast<int64_t>(lengths_.size()); }

  // Forgets a sequence's tokens from `length` on; not below the prefix.
  void truncate(int64_t sequence, int64_t length);

  // All keys of a sequence in one piece, [1, Hkv, S, d], the running pass's rows of this layer
  // included; valid until the next call. The prefix is copied once per layer in a row, so ask layer
  // by layer.
  [[nodiscard]] at::Tensor keys(int64_t layer, int64_t sequence);

 private:
  using Suffixes = std::vector<FullLayer>;  // one per sequence

  void attend_own(const LayerStep& step, LayerAttention& own);
  void attend_windowed(const LayerStep& step, LayerAttention& whole);
  [[nodiscard]] LayerStep rows_of(const LayerStep& step, int64_t begin, int64_t count) const;
  [[nodiscard]] bool is_windowed(const LayerStep& step) const;

  const FullKvCache& prefix_;
  int64_t prefix_length_;
  std::vector<Suffixes> layers_;
  std::vector<int64_t> lengths_;  // per sequence, prefix included
  std::vector<int64_t> rows_;     // of the pass to come or running
  at::Tensor assembled_;          // [1, Hkv, capacity, d]: see keys()
  int64_t assembled_layer_ = -1;
};

}  // namespace headscope::runtime
