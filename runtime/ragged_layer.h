// Keys and values of one layer with a different length per (sequence, KV head): what is left after
// eviction, and what came since. Flat storage [num_slots, d]; row r = b * Hkv + h owns a stretch of
// it with a little slack, so that a decode step appends in place.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "runtime/compensation.h"
#include "runtime/kv_cache.h"

namespace headscope::runtime {

// Slots for a row of `length` tokens: an eighth more, at least 8 and at most 64.
[[nodiscard]] int64_t ragged_capacity(int64_t length);

class RaggedLayer {
 public:
  // Copies the entries at `retained` out of keys and values [B, Hkv, S, d]; retained[b * Hkv + h]
  // holds key indices 0..S-1, int64 ascending. The first key sits at absolute position
  // `first_position`.
  RaggedLayer(const at::Tensor& keys,
              const at::Tensor& values,
              const std::vector<at::Tensor>& retained,
              int64_t first_position);

  // One more token per row that every query sees, whatever comes: rows of full attention only.
  void set_compensation(Compensation compensation) { compensation_ = std::move(compensation); }

  // Appends the step's keys and values and attends over all that is held and that the step's
  // attention window still sees.
  LayerAttention attend(const LayerStep& step);

  // Position after the last token that went through.
  [[nodiscard]] int64_t next_position() const { return next_position_; }
  // Tokens held in row b * Hkv + h.
  [[nodiscard]] int64_t length(int64_t row) const;
  // Their absolute positions, ascending.
  [[nodiscard]] std::vector<int64_t> positions(int64_t row) const;
  // Keys and values of row b * Hkv + h: views [length, d], valid until the next attend().
  [[nodiscard]] at::Tensor keys(int64_t row) const;
  [[nodiscard]] at::Tensor values(int64_t row) const;
  // Entries at the row's front that the next token's query does not see any more. 0 where
  // attention_window is 0.
  [[nodiscard]] int64_t num_hidden(int64_t row, int64_t attention_window) const {
    return num_invisible(static_cast<size_t>(row), next_position_, attention_window);
  }
  // How many of the row's last entries are the sequence's last tokens, without a gap.
  [[nodiscard]] int64_t recent_run(int64_t row) const;
  [[nodiscard]] int64_t num_rows() const { return static_cast<int64_t>(kv_.length.size()); }
  [[nodiscard]] int64_t num_kv_heads() const { return num_rows() / batch_; }
  [[nodiscard]] int64_t bytes_held() const;

  // Gives up every entry but these and the memory that they took; kept[b * Hkv + h] holds indices
  // among the row's entries, int64 ascending.
  void keep(const std::vector<at::Tensor>& kept);

  // Forgets the tokens from absolute position `length` on. std::invalid_argument below
  // earliest_truncation().
  void truncate(int64_t length);
  // Where the last eviction took place; also, entries that a sliding window no longer saw have been
  // given up for good once storage was laid out anew. Going back behind that point would miss them.
  [[nodiscard]] int64_t earliest_truncation() const { return earliest_truncation_; }

 private:
  void append(const LayerStep& step);
  void lay_out_again(int64_t num_new, int64_t attention_window);
  [[nodiscard]] int64_t num_invisible(size_t row, int64_t query_position, int64_t window) const;
  [[nodiscard]] LayerAttention attend_windowed(const LayerStep& step) const;

  kernels::RaggedKv kv_;
  std::vector<int64_t> row_capacity_;  // slots of each row
  at::Tensor next_slot_;               // [rows] int64 on the device: where rows append
  // Positions of each row's entries at the last eviction; what came since follows without a gap.
  std::vector<std::vector<int64_t>> retained_;
  std::optional<Compensation> compensation_;
  int64_t batch_ = 0;
  int64_t next_position_ = 0;
  int64_t earliest_truncation_ = 0;
};

}  // namespace headscope::runtime
