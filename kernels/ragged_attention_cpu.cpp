// Attention of n query rows over one key range per (sequence, KV head), in one pass over the keys
// (FlashAttention-2, arXiv 2307.08691; split over keys as in Flash-Decoding). The query heads of a
// group are rows of the same block, so each key is read once for all of them.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_reader.h"

namespace headscope::kernels {
namespace {

// Keys of one (sequence, KV head); the last n are those of the query rows.
struct KeyRange {
  KvRows keys;
  KvRows values;
  int64_t length;
};

// One task: a block of query positions of one KV head, over a part of its keys.
struct Task {
  int64_t range;               // index of the KeyRange: b * Hkv + h
  int64_t row_begin, row_end;  // query positions
  int64_t key_begin, key_end;
};

constexpr int64_t kSmallestSplit = 256;  // keys

class RangeAttention {
 public:
  RangeAttention(const at::Tensor& q,
                 std::vector<KeyRange> ranges,
                 double scale,
                 int64_t window,
                 bool causal = true)
      : q_(with_unit_stride(q)),
        ranges_(std::move(ranges)),
        type_(kv_type(q)),
        factor_(base2_scale(scale)),
        window_(window),
        causal_(causal),
        batch_(q.size(0)),
        heads_(q.size(1)),
        n_(q.size(2)),
        d_(q.size(3)),
        group_(batch_ * heads_ / static_cast<int64_t>(ranges_.size())) {}

  AttentionResult run() {
    // Rows of one position side by side: the output projection then reads z without a copy.
    const auto f32 = q_.options().dtype(at::kFloat);
    at::Tensor z = at::empty({batch_, n_, heads_, d_}, f32).transpose(1, 2);
    at::Tensor lse = at::empty({batch_, heads_, n_}, f32);
    z_ = z.data_ptr<float>();
    lse_ = lse.data_ptr<float>();
    const int64_t block = block_positions();
    plan_tasks(block);
    std::vector<SoftmaxState> partial(splits_ > 1 ? tasks_.size() : 0);
    const auto make_state = [&] {
      return Worker{TileReader(d_, type_, block * group_, SoftmaxWeights::kMayBeRounded),
                    SoftmaxState{},
                    {},
                    {},
                    {}};
    };
    for_each_task(static_cast<int64_t>(tasks_.size()), make_state, [&](int64_t t, Worker& worker) {
      const Task& task = tasks_[static_cast<size_t>(t)];
      if (splits_ > 1) {
        attend(task, worker, partial[static_cast<size_t>(t)]);
      } else {
        attend(task, worker, worker.state);
        write(task, worker.state);
      }
    });
    for (size_t t = 0; t < partial.size(); t += static_cast<size_t>(splits_)) {
      for (size_t s = 1; s < static_cast<size_t>(splits_); ++s) {
        merge_states(partial[t], partial[t + s], rows_of(tasks_[t]), d_);
      }
      write(tasks_[t], partial[t]);
    }
    return {z.to(q_.scalar_type()), lse};
  }

 private:
  struct Worker {
    TileReader reader;
    SoftmaxState state;
    std::vector<float> q;
    std::vector<int64_t> first, end;
  };

  int64_t rows_of(const Task& task) const { return (task.row_end - task.row_begin) * group_; }

  // Positions whose rows one task handles: as many as fit a reader, but enough tasks to go round.
  int64_t block_positions() const {
    const int64_t rows = n_ * group_ * static_cast<int64_t>(ranges_.size());
    const int64_t shared_out = rows / (4 * at::get_num_threads());
    const int64_t most =
        std::max(kBlockRows, std::min(shared_out, TileReader::most_rows(d_, type_)));
    const int64_t block = std::max<int64_t>(1, most / group_);
    const int64_t blocks = (n_ + block - 1) / block;
    return (n_ + blocks - 1) / blocks;  // no short one at the end
  }

  void plan_tasks(int64_t block) {
    const int64_t blocks = (n_ + block - 1) / block;
    const auto num_ranges = static_cast<int64_t>(ranges_.size());
    int64_t longest = 0;
    for (const KeyRange& range : ranges_) longest = std::max(longest, range.length);
    // Split over keys only where there are too few (sequence, KV head, block) tasks to go round.
    const int64_t wanted = 2 * at::get_num_threads();
    splits_ = std::clamp<int64_t>((wanted + num_ranges * blocks - 1) / (num_ranges * blocks), 1,
                                  std::max<int64_t>(1, longest / kSmallestSplit));
    if (at::get_num_threads() == 1) splits_ = 1;
    for (int64_t b = blocks - 1; b >= 0; --b) {  // causal: the last rows have the most keys
      for (int64_t r = 0; r < num_ranges; ++r) {
        const int64_t length = ranges_[static_cast<size_t>(r)].length;
        const int64_t row_begin = b * block, row_end = std::min(n_, row_begin + block);
        const int64_t key_end = causal_ ? length - n_ + row_end : length;
        const int64_t key_begin =
            window_ > 0 ? std::max<int64_t>(0, length - n_ + row_begin - window_ + 1) : 0;
        for (int64_t s = 0; s < splits_; ++s) {
          const int64_t keys = key_end - key_begin;
          tasks_.push_back({r, row_begin, row_end, key_begin + keys * s / splits_,
                            key_begin + keys * (s + 1) / splits_});
        }
      }
    }
  }

  // Rows of a block in the order (head of the group, position).
  void load_queries(const Task& task, Worker& worker) const {
    const int64_t rows = task.row_end - task.row_begin;
    worker.q.resize(static_cast<size_t>(rows * group_ * d_));
    const int64_t first_head = task.range * group_;  // over all sequences
    for (int64_t g = 0; g < group_; ++g) {
      const int64_t head = first_head + g;
      const int64_t at = (head / heads_) * q_.stride(0) + (head % heads_) * q_.stride(1) +
                         task.row_begin * q_.stride(2);
      float* to = worker.q.data() + g * rows * d_;
      worker.reader.kernels().widen[static_cast<int>(type_)](
          {static_cast<const char*>(q_.const_data_ptr()) +
               at * static_cast<int64_t>(q_.element_size()),
           q_.stride(2), nullptr},
          0, rows, d_, to);
    }
  }

  void attend(const Task& task, Worker& worker, SoftmaxState& state) const {
    const KeyRange& range = ranges_[static_cast<size_t>(task.range)];
    const int64_t rows = task.row_end - task.row_begin, packed = rows * group_;
    load_queries(task, worker);
    worker.reader.set_rows(worker.q.data(), packed, factor_);
    worker.first.resize(static_cast<size_t>(packed));
    worker.end.resize(static_cast<size_t>(packed));
    for (int64_t r = 0; r < packed; ++r) {
      const int64_t position = range.length - n_ + task.row_begin + r % rows;
      worker.end[static_cast<size_t>(r)] = position + 1;
      worker.first[static_cast<size_t>(r)] = position - window_ + 1;
    }
    state.reset(packed, d_);
    const KeyBounds bounds{window_ > 0 ? worker.first.data() : nullptr,
                           causal_ ? worker.end.data() : nullptr};
    worker.reader.attend(range.keys, &range.values, task.key_begin, task.key_end, bounds, state);
  }

  void write(const Task& task, const SoftmaxState& state) const {
    const int64_t rows = task.row_end - task.row_begin;
    for (int64_t r = 0; r < rows * group_; ++r) {
      const int64_t head = task.range * group_ + r / rows, row = task.row_begin + r % rows;
      const int64_t b = head / heads_, h = head % heads_;
      const auto i = static_cast<size_t>(r);
      lse_[head * n_ + row] = base2_lse(state, i) * kLn2;
      const float inverse = 1.0f / state.sum[i];
      const float* from = state.o.data() + r * d_;
      float* to = z_ + ((b * n_ + row) * heads_ + h) * d_;
      for (int64_t c = 0; c < d_; ++c) to[c] = from[c] * inverse;
    }
  }

  at::Tensor q_;
  std::vector<KeyRange> ranges_;
  KvType type_;
  float factor_;
  int64_t window_;
  bool causal_;  // else every row sees every key
  int64_t batch_, heads_, n_, d_, group_;
  int64_t splits_ = 1;
  std::vector<Task> tasks_;
  float* z_ = nullptr;
  float* lse_ = nullptr;
};

// One range per (sequence, KV head) of [B, Hkv, S, d], which must outlive them.
std::vector<KeyRange> ranges_of(const at::Tensor& k, const at::Tensor& v) {
  std::vector<KeyRange> ranges;
  for (int64_t b = 0; b < k.size(0); ++b) {
    for (int64_t h = 0; h < k.size(1); ++h) {
      ranges.push_back({kv_rows(k, b * k.stride(0) + h * k.stride(1)),
                        kv_rows(v, b * v.stride(0) + h * v.stride(1)), k.size(2)});
    }
  }
  return ranges;
}

}  // namespace

AttentionResult ragged_attention_cpu(const at::Tensor& q, const RaggedKv& kv, double scale) {
  const at::Tensor keys = with_unit_stride(kv.keys), values = with_unit_stride(kv.values);
  std::vector<KeyRange> ranges;
  for (size_t r = 0; r < kv.length.size(); ++r) {
    ranges.push_back({kv_rows(keys, kv.offset[r] * keys.stride(0)),
                      kv_rows(values, kv.offset[r] * values.stride(0)), kv.length[r]});
  }
  return RangeAttention(q, std::move(ranges), scale, /*window=*/0).run();
}

AttentionResult tiled_attention_cpu(const at::Tensor& q,
                                    const at::Tensor& k,
                                    const at::Tensor& v,
                                    double scale,
                                    int64_t attention_window) {
  const at::Tensor keys = with_unit_stride(k), values = with_unit_stride(v);
  return RangeAttention(q, ranges_of(keys, values), scale, attention_window).run();
}

AttentionResult tiled_full_attention_cpu(const at::Tensor& q,
                                         const at::Tensor& k,
                                         const at::Tensor& v,
                                         double scale) {
  const at::Tensor keys = with_unit_stride(k), values = with_unit_stride(v);
  return RangeAttention(q, ranges_of(keys, values), scale, /*window=*/0, /*causal=*/false).run();
}

}  // namespace headscope::kernels
