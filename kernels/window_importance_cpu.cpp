// Scores of SnapKV (arXiv 2404.14469) and CompressKV (2508.02401): one pass over the keys. Where
// the log-sum-exp of the window rows is known, logits live in a tile only. Where it is not, the
// tiles' softmax weights are kept, each relative to its row's largest logit so far, and scaled to
// the log-sum-exp when all keys have been read.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kChunkTiles = 8;                // of one task
constexpr int64_t kKeptBytes = int64_t{2} << 20;  // softmax weights alive at once, if possible

// The asked query heads that read one KV head.
struct HeadGroup {
  int64_t kv_head = 0;
  std::vector<int64_t> head;
  std::vector<int64_t> slot;  // where each head's scores go
};

std::vector<HeadGroup> group_heads(std::span<const int64_t> heads,
                                   int64_t num_heads,
                                   int64_t num_kv_heads) {
  const int64_t group = num_heads / num_kv_heads;
  std::vector<HeadGroup> all(static_cast<size_t>(num_kv_heads));
  const int64_t count = heads.empty() ? num_heads : static_cast<int64_t>(heads.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t head = heads.empty() ? i : heads[static_cast<size_t>(i)];
    HeadGroup& g = all[static_cast<size_t>(head / group)];
    g.kv_head = head / group;
    g.head.push_back(head);
    g.slot.push_back(i);
  }
  std::erase_if(all, [](const HeadGroup& g) { return g.head.empty(); });
  return all;
}

class WindowScores {
 public:
  WindowScores(const at::Tensor& q,
               const at::Tensor& k,
               double scale,
               std::span<const int64_t> heads,
               WindowReduction reduction)
      : rows_(float_queries(q)),
        keys_(with_unit_stride(k)),
        type_(kv_type(keys_)),
        factor_(base2_scale(scale)),
        square_(reduction == WindowReduction::kSquare),
        groups_(group_heads(heads, q.size(1), k.size(1))),
        num_groups_(static_cast<int64_t>(groups_.size())),
        num_out_(heads.empty() ? q.size(1) : static_cast<int64_t>(heads.size())),
        w_(q.size(2)),
        d_(q.size(3)),
        num_keys_(k.size(2)),
        prefix_(num_keys_ - w_),
        tiles_((num_keys_ + kTileKeys - 1) / kTileKeys),
        chunks_((tiles_ + kChunkTiles - 1) / kChunkTiles) {
    for (const HeadGroup& g : groups_) most_rows_ = std::max(most_rows_, num_rows(g));
  }

  // [B, num_heads, S - w]
  at::Tensor run(const std::optional<at::Tensor>& lse) {
    at::Tensor out = at::empty({rows_.size(0), num_out_, prefix_}, rows_.options());
    out_ = out.data_ptr<float>();
    if (out.numel() == 0) return out;
    const int64_t units = rows_.size(0) * num_groups_;
    if (lse) {
      with_known_lse(units, lse->mul(kLog2E).contiguous());
      return out;
    }
    const int64_t bytes = tiles_ * padded_rows(most_rows_) * kTileKeys * int64_t{sizeof(float)};
    const int64_t step = std::clamp<int64_t>(kKeptBytes / bytes, 1, units);
    std::vector<Kept> kept(static_cast<size_t>(step));
    for (int64_t unit = 0; unit < units; unit += step) {
      with_kept_weights(unit, std::min(units, unit + step), kept);
    }
    return out;
  }

 private:
  struct Worker {
    TileReader reader;
    int64_t unit = -1;  // whose rows the reader holds
    std::vector<float> q;
    std::vector<float> lse;
    std::vector<int64_t> end;
  };

  // What is kept of one (sequence, KV head) between the two steps.
  struct Kept {
    AlignedFloats weight;               // [tiles, padded rows, kTileKeys]
    std::vector<float> max;             // [rows, tiles]: what weights are relative to
    std::vector<SoftmaxState> partial;  // of each chunk
  };

  int64_t num_rows(const HeadGroup& g) const { return w_ * static_cast<int64_t>(g.head.size()); }
  const HeadGroup& group(int64_t unit) const {
    return groups_[static_cast<size_t>(unit % num_groups_)];
  }
  KvRows keys_of(int64_t unit) const {
    return kv_rows(keys_,
                   unit / num_groups_ * keys_.stride(0) + group(unit).kv_head * keys_.stride(1));
  }
  int64_t tile_end(int64_t chunk) const { return std::min(tiles_, (chunk + 1) * kChunkTiles); }

  // Calls body(unit, chunk, worker) for every chunk of keys of the units, with the rows set.
  template <class Body>
  void for_each_chunk(int64_t first_unit, int64_t last_unit, const Body& body) const {
    const auto make = [&] { return Worker{TileReader(d_, type_, most_rows_), -1, {}, {}, {}}; };
    for_each_task((last_unit - first_unit) * chunks_, make, [&](int64_t t, Worker& worker) {
      const int64_t unit = first_unit + t / chunks_;
      if (worker.unit != unit) load_rows(unit, worker);
      body(unit, t % chunks_, worker);
    });
  }

  void load_rows(int64_t unit, Worker& worker) const {
    const HeadGroup& g = group(unit);
    worker.unit = unit;
    worker.q.resize(static_cast<size_t>(num_rows(g) * d_));
    worker.end.resize(static_cast<size_t>(num_rows(g)));
    for (size_t i = 0; i < g.head.size(); ++i) {
      const int64_t from = (unit / num_groups_ * rows_.size(1) + g.head[i]) * w_ * d_;
      std::copy_n(rows_.const_data_ptr<float>() + from, w_ * d_,
                  worker.q.data() + static_cast<int64_t>(i) * w_ * d_);
    }
    for (int64_t r = 0; r < num_rows(g); ++r) {
      worker.end[static_cast<size_t>(r)] = prefix_ + r % w_ + 1;
    }
    worker.reader.set_rows(worker.q.data(), num_rows(g), factor_);
  }

  // Calls column(first row, columns of the tile that are scored, where they go) for each head.
  template <class Column>
  void score_tile(int64_t unit, int64_t tile, const Column& column) const {
    const HeadGroup& g = group(unit);
    const int64_t count = std::min(kTileKeys, prefix_ - tile * kTileKeys);
    if (count <= 0) return;
    for (size_t i = 0; i < g.head.size(); ++i) {
      column(static_cast<int64_t>(i) * w_, count,
             out_ + (unit / num_groups_ * num_out_ + g.slot[i]) * prefix_ + tile * kTileKeys);
    }
  }

  void with_known_lse(int64_t units, const at::Tensor& lse) const {
    const float* lse_data = lse.const_data_ptr<float>();
    for_each_chunk(0, units, [&](int64_t unit, int64_t chunk, Worker& worker) {
      const HeadGroup& g = group(unit);
      worker.lse.clear();
      for (const int64_t head : g.head) {
        const float* from = lse_data + (unit / num_groups_ * rows_.size(1) + head) * w_;
        worker.lse.insert(worker.lse.end(), from, from + w_);
      }
      for (int64_t tile = chunk * kChunkTiles; tile < tile_end(chunk); ++tile) {
        const int64_t begin = tile * kTileKeys;
        if (begin >= prefix_) return;
        const float* x =
            worker.reader.logits(keys_of(unit), begin, std::min(kTileKeys, prefix_ - begin));
        score_tile(unit, tile, [&](int64_t row, int64_t count, float* to) {
          worker.reader.kernels().column_mass(x + row * kTileKeys, kTileKeys, w_, count,
                                              worker.lse.data() + row, square_, to);
        });
      }
    });
  }

  // `all` is used again by the next units: fresh memory would cost more than it is written in.
  void with_kept_weights(int64_t first_unit, int64_t last_unit, std::vector<Kept>& all) const {
    for (int64_t unit = first_unit; unit < last_unit; ++unit) {
      const auto rows = static_cast<size_t>(num_rows(group(unit)));
      const int64_t weights = tiles_ * padded_rows(num_rows(group(unit))) * kTileKeys;
      Kept& kept = all[static_cast<size_t>(unit - first_unit)];
      kept.weight.reserve(weights);
      kept.max.resize(rows * static_cast<size_t>(tiles_));
      kept.partial.resize(static_cast<size_t>(chunks_));
    }
    for_each_chunk(first_unit, last_unit, [&](int64_t unit, int64_t chunk, Worker& worker) {
      keep_weights(unit, chunk, worker, all[static_cast<size_t>(unit - first_unit)]);
    });
    at::parallel_for(first_unit, last_unit, 1, [&](int64_t first, int64_t last) {
      for (int64_t unit = first; unit < last; ++unit) {
        scale_maxima(num_rows(group(unit)), all[static_cast<size_t>(unit - first_unit)]);
      }
    });
    at::parallel_for(0, (last_unit - first_unit) * tiles_, 8, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        const int64_t unit = first_unit + t / tiles_, tile = t % tiles_;
        const Kept& kept = all[static_cast<size_t>(unit - first_unit)];
        const float* weight =
            kept.weight.get() + tile * padded_rows(num_rows(group(unit))) * kTileKeys;
        score_tile(unit, tile, [&](int64_t row, int64_t count, float* to) {
          tile_kernels().column_sums(weight + row * kTileKeys, kTileKeys, w_, count,
                                     kept.max.data() + row * tiles_ + tile, tiles_, square_, to);
        });
      }
    });
  }

  void keep_weights(int64_t unit, int64_t chunk, Worker& worker, Kept& kept) const {
    TileReader& reader = worker.reader;
    const int64_t rows = reader.num_rows();
    SoftmaxState& state = kept.partial[static_cast<size_t>(chunk)];
    state.reset(rows, 0);
    std::vector<float> rescale(static_cast<size_t>(rows));
    for (int64_t tile = chunk * kChunkTiles; tile < tile_end(chunk); ++tile) {
      const int64_t begin = tile * kTileKeys, count = std::min(kTileKeys, num_keys_ - begin);
      float* x = kept.weight.get() + tile * padded_rows(rows) * kTileKeys;
      reader.write_logits(keys_of(unit), begin, count, x);
      reader.kernels().softmax_step(x, kTileKeys, rows, count,
                                    reader.visible(worker.end.data(), begin, count),
                                    state.max.data(), state.sum.data(), rescale.data());
      for (int64_t r = 0; r < rows; ++r) {
        kept.max[static_cast<size_t>(r * tiles_ + tile)] = state.max[static_cast<size_t>(r)];
      }
    }
  }

  // Maxima become the factors that bring weights to the rows' log-sum-exp.
  void scale_maxima(int64_t rows, Kept& kept) const {
    for (size_t chunk = 1; chunk < kept.partial.size(); ++chunk) {
      merge_states(kept.partial[0], kept.partial[chunk], rows, 0);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float lse = base2_lse(kept.partial[0], static_cast<size_t>(r));
      float* max = kept.max.data() + r * tiles_;
      tile_kernels().column_mass(max, tiles_, 1, tiles_, &lse, /*square=*/false, max);
    }
  }

  at::Tensor rows_, keys_;
  KvType type_;
  float factor_;
  bool square_;
  std::vector<HeadGroup> groups_;
  int64_t num_groups_, num_out_, w_, d_, num_keys_, prefix_, tiles_, chunks_;
  int64_t most_rows_ = 1;
  float* out_ = nullptr;
};

// out[j] = pooled in[j - half .. j + half], zero outside.
void pool_row(const float* in, int64_t n, WindowPooling pooling, int64_t kernel, float* out) {
  const int64_t half = kernel / 2;
  std::vector<float> padded(static_cast<size_t>(n + 2 * half), 0.0f);
  std::copy_n(in, n, padded.data() + half);
  std::copy_n(padded.data(), n, out);
  for (int64_t t = 1; t < kernel; ++t) {
    const float* shifted = padded.data() + t;
    if (pooling == WindowPooling::kAverage) {
      for (int64_t j = 0; j < n; ++j) out[j] += shifted[j];
    } else {
      for (int64_t j = 0; j < n; ++j) out[j] = shifted[j] > out[j] ? shifted[j] : out[j];
    }
  }
  if (pooling == WindowPooling::kAverage) {
    const float divisor = static_cast<float>(kernel);
    for (int64_t j = 0; j < n; ++j) out[j] /= divisor;
  }
}

}  // namespace

at::Tensor window_importance_cpu(const at::Tensor& q,
                                 const at::Tensor& k,
                                 double scale,
                                 std::span<const int64_t> heads,
                                 const WindowImportanceOptions& options,
                                 const std::optional<at::Tensor>& lse) {
  at::Tensor out = WindowScores(q, k, scale, heads, options.reduction).run(lse);
  if (options.reduction == WindowReduction::kMean) out.div_(static_cast<double>(q.size(2)));
  if (options.pooling == WindowPooling::kNone || options.pooling_kernel == 1 || out.numel() == 0) {
    return out;
  }
  const int64_t prefix = out.size(2);
  const float* out_data = out.const_data_ptr<float>();
  at::Tensor pooled = at::empty_like(out);
  float* pooled_data = pooled.data_ptr<float>();
  at::parallel_for(0, out.size(0) * out.size(1), 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      pool_row(out_data + r * prefix, prefix, options.pooling, options.pooling_kernel,
               pooled_data + r * prefix);
    }
  });
  return pooled;
}

}  // namespace headscope::kernels
