// The last queries that went through a layer: by them the window methods judge which keys stay.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "runtime/kv_cache.h"

namespace headscope::runtime {

// Rows end - rows .. end - 1 of the sequence, as many as are remembered.
struct QueryWindow {
  at::Tensor q;    // [B, Hq, rows, d] after rotary embedding; undefined when there are none
  at::Tensor lse;  // [B, Hq, rows] float32 of the layer's own attention
  // [B, Hq, end] float32: the attention that each key received from rows 0 .. end - 1, where that
  // is summed (FullKvCacheOptions::sums_attention). Undefined otherwise, and from a truncate()
  // below `end` on.
  at::Tensor received;
  double scale = 0.0;
  int64_t attention_window = 0;  // of the layer
  int64_t end = 0;               // position after the last row

  [[nodiscard]] int64_t num_rows() const { return q.defined() ? q.size(2) : 0; }

  // Adds the rows of a pass that ends at position `new_end`; the last `most_rows` stay. Copies
  // them, so that no chunk is kept alive by a view.
  void remember(const LayerStep& step,
                const LayerAttention& attention,
                int64_t most_rows,
                int64_t new_end);
  // Adds what the rows of a pass attend to; `keys` [B, Hkv, S, d] of the layer after the pass.
  void add_received(const LayerStep& step, const LayerAttention& attention, const at::Tensor& keys);
  // Forgets the rows from position `length` on.
  void truncate(int64_t length);
};

}  // namespace headscope::runtime
