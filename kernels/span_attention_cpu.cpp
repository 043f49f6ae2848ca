// Per-row readings of the attention distribution that never store it: log-sum-exp, mass on spans,
// most attended keys.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

// The rows of q [Hq, n, d] as blocks of one KV head: row r of KV head h is query head h * G + r /
// n, query r % n.
struct RowBlocks {
  int64_t n, d, rows_per_head, blocks_per_head;

  RowBlocks(const at::Tensor& q, const at::Tensor& k)
      : n(q.size(1)),
        d(q.size(2)),
        rows_per_head(q.size(0) / k.size(0) * n),
        blocks_per_head((rows_per_head + kBlockRows - 1) / kBlockRows) {}
};

struct Block {
  int64_t kv_head;
  int64_t first;  // row, counted over all KV heads
  int64_t rows;
};

struct Worker {
  TileReader reader;
  SoftmaxState state;
  std::vector<int64_t> end;  // keys that each row sees
  SoftmaxState run;          // of the last kRunKeys keys
  std::vector<float> mass;   // of a run
};

// Calls body(block, worker) for every block, with worker.end filled.
template <class Body>
void for_each_block(const at::Tensor& q,
                    const at::Tensor& k,
                    int64_t first_position,
                    const Body& body) {
  const RowBlocks layout(q, k);
  const int64_t most_rows = std::min(kBlockRows, layout.rows_per_head);
  const auto make = [&] {
    return Worker{TileReader(layout.d, kv_type(k), most_rows), {}, {}, {}, {}};
  };
  for_each_task(k.size(0) * layout.blocks_per_head, make, [&](int64_t t, Worker& worker) {
    const int64_t head = t / layout.blocks_per_head;
    // The last rows see the most keys: first.
    const int64_t index = layout.blocks_per_head - 1 - t % layout.blocks_per_head;
    const int64_t begin = index * kBlockRows;
    const Block block{head, head * layout.rows_per_head + begin,
                      std::min(kBlockRows, layout.rows_per_head - begin)};
    worker.end.resize(static_cast<size_t>(block.rows));
    for (int64_t r = 0; r < block.rows; ++r) {
      worker.end[static_cast<size_t>(r)] = first_position + (begin + r) % layout.n + 1;
    }
    body(block, worker);
  });
}

int64_t last_key(const Worker& worker) {
  return *std::max_element(worker.end.begin(), worker.end.end());
}

// Best `top_n` (value, position) of one row, best first; among equals the earlier position.
class TopRow {
 public:
  TopRow(int64_t top_n, float* value, int64_t* position)
      : top_n_(top_n), value_(value), position_(position) {}

  float bar() const {
    return found_ < top_n_ ? -std::numeric_limits<float>::infinity() : value_[top_n_ - 1];
  }

  // Positions must come in ascending order.
  void offer(float value, int64_t position) {
    if (!(value > bar())) return;
    int64_t at = found_ < top_n_ ? found_++ : top_n_ - 1;
    for (; at > 0 && value_[at - 1] < value; --at) {
      value_[at] = value_[at - 1];
      position_[at] = position_[at - 1];
    }
    value_[at] = value;
    position_[at] = position;
  }

  int64_t found() const { return found_; }

 private:
  int64_t top_n_;
  int64_t found_ = 0;
  float* value_;
  int64_t* position_;
};

}  // namespace

at::Tensor row_lse_cpu(const at::Tensor& q,
                       const at::Tensor& k,
                       double scale,
                       int64_t first_position) {
  const at::Tensor rows = float_queries(q), keys = with_unit_stride(k);
  at::Tensor lse = at::empty({q.size(0), q.size(1)}, rows.options());
  const float* q_data = rows.const_data_ptr<float>();
  float* out = lse.data_ptr<float>();
  for_each_block(q, k, first_position, [&](const Block& block, Worker& worker) {
    worker.state.reset(block.rows, 0);
    worker.reader.set_rows(q_data + block.first * q.size(2), block.rows, base2_scale(scale));
    worker.reader.attend(kv_rows(keys, block.kv_head * keys.stride(0)), nullptr, 0,
                         last_key(worker), {nullptr, worker.end.data()}, worker.state);
    for (int64_t r = 0; r < block.rows; ++r) {
      out[block.first + r] = base2_lse(worker.state, static_cast<size_t>(r)) * kLn2;
    }
  });
  return lse;
}

at::Tensor span_attention_cpu(const at::Tensor& q,
                              const at::Tensor& k,
                              double scale,
                              int64_t first_position,
                              std::span<const KeySpan> spans,
                              const std::optional<at::Tensor>& lse) {
  const auto num_spans = static_cast<int64_t>(spans.size());
  at::Tensor out = at::zeros({q.size(0), q.size(1), num_spans}, q.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  const at::Tensor rows = float_queries(q), keys = with_unit_stride(k);
  const at::Tensor row_lse =
      (lse ? *lse : row_lse_cpu(q, k, scale, first_position)).mul(kLog2E).contiguous();
  const float* q_data = rows.const_data_ptr<float>();
  const float* lse_data = row_lse.const_data_ptr<float>();
  float* out_data = out.data_ptr<float>();
  for_each_block(q, k, first_position, [&](const Block& block, Worker& worker) {
    const KvRows kv = kv_rows(keys, block.kv_head * keys.stride(0));
    const int64_t seen = last_key(worker);
    worker.reader.set_rows(q_data + block.first * q.size(2), block.rows, base2_scale(scale));
    for (int64_t s = 0; s < num_spans; ++s) {
      const KeySpan span = spans[static_cast<size_t>(s)];
      const int64_t end = std::min(span.end, seen);
      for (int64_t begin = span.begin; begin < end; begin += kRunKeys) {
        worker.mass.assign(static_cast<size_t>(block.rows), 0.0f);
        for (int64_t tile = begin; tile < std::min(end, begin + kRunKeys); tile += kTileKeys) {
          const int64_t count = std::min(kTileKeys, end - tile);
          const float* x = worker.reader.logits(kv, tile, count);
          worker.reader.kernels().add_mass(x, TileReader::kLd, block.rows, count,
                                           worker.reader.visible(worker.end.data(), tile, count),
                                           lse_data + block.first, worker.mass.data(), 1);
        }
        for (int64_t r = 0; r < block.rows; ++r) {
          out_data[(block.first + r) * num_spans + s] += worker.mass[static_cast<size_t>(r)];
        }
      }
    }
  });
  return out;
}

TopAttended top_attended_cpu(const at::Tensor& q,
                             const at::Tensor& k,
                             double scale,
                             int64_t first_position,
                             int64_t top_n,
                             const std::optional<at::Tensor>& lse) {
  const at::Tensor rows = float_queries(q), keys = with_unit_stride(k);
  at::Tensor row_lse =
      lse ? lse->mul(kLog2E).contiguous() : at::empty({q.size(0), q.size(1)}, rows.options());
  TopAttended out{at::zeros({q.size(0), q.size(1), top_n}, rows.options()),
                  at::full({q.size(0), q.size(1), top_n}, -1, rows.options().dtype(at::kLong))};
  const float* q_data = rows.const_data_ptr<float>();
  float* lse_data = row_lse.data_ptr<float>();
  float* weight = out.weight.data_ptr<float>();
  int64_t* position = out.position.data_ptr<int64_t>();
  for_each_block(q, k, first_position, [&](const Block& block, Worker& worker) {
    const KvRows kv = kv_rows(keys, block.kv_head * keys.stride(0));
    const TileKernels& kernels = worker.reader.kernels();
    std::vector<TopRow> best;
    for (int64_t r = block.first; r < block.first + block.rows; ++r) {
      best.emplace_back(top_n, weight + r * top_n, position + r * top_n);
    }
    worker.state.reset(block.rows, 0);
    worker.run.reset(block.rows, 0);
    worker.reader.set_rows(q_data + block.first * q.size(2), block.rows, base2_scale(scale));
    std::vector<float> rescale(static_cast<size_t>(block.rows));
    const int64_t seen = last_key(worker);
    for (int64_t tile = 0; tile < seen; tile += kTileKeys) {
      const int64_t count = std::min(kTileKeys, seen - tile);
      float* x = worker.reader.logits(kv, tile, count);
      const int64_t* visible = worker.reader.visible(worker.end.data(), tile, count);
      for (int64_t r = 0; r < block.rows; ++r) {
        TopRow& top = best[static_cast<size_t>(r)];
        const float* values = x + r * TileReader::kLd;
        const int64_t shown = visible ? visible[r] : count;
        if (shown == 0 || !(kernels.largest(values, shown) > top.bar())) continue;
        for (int64_t j = 0; j < shown; ++j) top.offer(values[j], tile + j);
      }
      if (lse) continue;
      kernels.softmax_step(x, TileReader::kLd, block.rows, count, visible, worker.run.max.data(),
                           worker.run.sum.data(), rescale.data());
      const int64_t done = tile + count;
      if (done % kRunKeys == 0 || done == seen) {
        merge_states(worker.state, worker.run, block.rows, 0);
        worker.run.reset(block.rows, 0);
      }
    }
    for (int64_t r = 0; r < block.rows; ++r) {
      const int64_t row = block.first + r;
      if (!lse) lse_data[row] = base2_lse(worker.state, static_cast<size_t>(r));
      const int64_t found = best[static_cast<size_t>(r)].found();
      for (int64_t i = row * top_n; i < row * top_n + found; ++i) weight[i] -= lse_data[row];
    }
  });
  out.weight.exp2_().masked_fill_(out.position < 0, 0.0);
  return out;
}

}  // namespace headscope::kernels
