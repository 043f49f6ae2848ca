#include "runtime/query_window.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "kernels/ops.h"

namespace headscope::runtime {

namespace {

// The last `count` rows of old and new together. Cloned, so that a view does not keep a chunk
// alive.
at::Tensor last_rows(const at::Tensor& old_rows, const at::Tensor& new_rows, int64_t count) {
  constexpr int64_t kRows = 2;
  const int64_t num_new = new_rows.size(kRows);
  if (num_new >= count || !old_rows.defined()) {
    const int64_t taken = std::min(count, num_new);
    return new_rows.narrow(kRows, num_new - taken, taken).clone();
  }
  const int64_t num_old = std::min(old_rows.size(kRows), count - num_new);
  return at::cat({old_rows.narrow(kRows, old_rows.size(kRows) - num_old, num_old), new_rows},
                 kRows);
}

}  // namespace

void QueryWindow::remember(const LayerStep& step,
                           const LayerAttention& attention,
                           int64_t most_rows,
                           int64_t new_end) {
  q = last_rows(q, step.q, most_rows);
  lse = last_rows(lse, attention.lse, most_rows);
  scale = step.scale;
  attention_window = step.attention_window;
  end = new_end;
}

void QueryWindow::add_received(const LayerStep& step,
                               const LayerAttention& attention,
                               const at::Tensor& keys) {
  const at::Tensor before = std::exchange(received, at::Tensor());
  const int64_t num_before = keys.size(2) - step.q.size(2);
  // Where it no longer covers the rows before this pass there is no sum to go on with.
  if (num_before > 0 && (!before.defined() || before.size(2) != num_before)) {
    return;
  }
  end = keys.size(2);
  received =
      kernels::attention_received(step.q, keys, attention.lse, step.scale, step.attention_window);
  if (num_before > 0) {
    received.narrow(/*dim=*/2, 0, num_before).add_(before);
  }
}

void QueryWindow::truncate(int64_t length) {
  if (end <= length) {
    return;
  }
  received = at::Tensor();
  const int64_t rows = num_rows() - (end - length);
  if (rows > 0) {
    q = q.narrow(/*dim=*/2, 0, rows).clone();
    lse = lse.narrow(/*dim=*/2, 0, rows).clone();
    end = length;
  } else {
    *this = QueryWindow{};
  }
}

}  // namespace headscope::runtime
