// Scoring, selection, compaction and error curves as ATen compositions.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "kernels/aten_ops.h"

namespace headscope::kernels {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// q [rows of any grouping as [B', Hkv', G' * w, d]] against k [B', Hkv', S, d]; result
// [B', Hkv', G', S - w], reduced over the w rows, not pooled.
at::Tensor reduced_window(const at::Tensor& q,    // [B', H', G', w, d]
                          const at::Tensor& k,    // [B', H', S, d]
                          const at::Tensor& lse,  // [B', H', G', w] or undefined
                          double scale,
                          WindowReduction reduction) {
  const int64_t w = q.size(3), num_keys = k.size(2), prefix = num_keys - w;
  at::Tensor logits =
      at::matmul(q.to(at::kFloat).flatten(2, 3) * scale, k.to(at::kFloat).transpose(-1, -2));
  logits = logits.reshape({q.size(0), q.size(1), q.size(2), w, num_keys});
  at::Tensor row_lse;
  if (lse.defined()) {
    row_lse = lse.to(at::kFloat).unsqueeze(-1);
  } else {
    const at::Tensor future = at::ones({w, w}, q.options().dtype(at::kBool)).triu(/*diagonal=*/1);
    logits.slice(-1, prefix).masked_fill_(future, kMinusInfinity);
    row_lse = at::logsumexp(logits, {-1}, /*keepdim=*/true);
  }
  const at::Tensor weight = logits.slice(-1, 0, prefix).sub_(row_lse).exp_();
  switch (reduction) {
    case WindowReduction::kMean:
      return weight.mean(3);
    case WindowReduction::kSquare:
      return weight.square_().sum(3);
    case WindowReduction::kSum:
      break;
  }
  return weight.sum(3);
}

}  // namespace

at::Tensor pool_scores_aten(const at::Tensor& scores,
                            WindowPooling pooling,
                            int64_t pooling_kernel) {
  if (pooling == WindowPooling::kNone || pooling_kernel == 1 || scores.numel() == 0) return scores;
  const at::Tensor flat = scores.reshape({-1, 1, scores.size(-1)});
  const at::Tensor pooled =
      pooling == WindowPooling::kAverage
          ? at::avg_pool1d(flat, pooling_kernel, /*stride=*/1, /*padding=*/pooling_kernel / 2)
          : at::max_pool1d(flat, pooling_kernel, /*stride=*/1, /*padding=*/pooling_kernel / 2);
  return pooled.reshape(scores.sizes());
}

at::Tensor window_importance_aten(const at::Tensor& q,
                                  const at::Tensor& k,
                                  double scale,
                                  std::span<const int64_t> heads,
                                  const WindowImportanceOptions& options,
                                  const std::optional<at::Tensor>& lse) {
  const int64_t batch = q.size(0), num_heads = q.size(1), w = q.size(2);
  const int64_t num_kv_heads = k.size(1), prefix = k.size(2) - w, group = num_heads / num_kv_heads;
  const int64_t num_out = heads.empty() ? num_heads : static_cast<int64_t>(heads.size());
  at::Tensor out = at::empty({batch, num_out, prefix}, q.options().dtype(at::kFloat));
  if (heads.empty()) {
    const int64_t logits_per_head = std::max<int64_t>(1, batch * group * w * k.size(2));
    const int64_t step = std::max<int64_t>(1, kAtenBlockElements / logits_per_head);
    for (int64_t h = 0; h < num_kv_heads; h += step) {
      const int64_t end = std::min(num_kv_heads, h + step);
      const auto grouped = [&](const at::Tensor& t) {
        return t.slice(1, h * group, end * group).unflatten(1, {end - h, group});
      };
      out.slice(1, h * group, end * group)
          .copy_(reduced_window(grouped(q), k.slice(1, h, end), lse ? grouped(*lse) : at::Tensor(),
                                scale, options.reduction)
                     .flatten(1, 2));
    }
  } else {
    for (int64_t i = 0; i < num_out; ++i) {
      const int64_t h = heads[static_cast<size_t>(i)];
      const auto one = [&](const at::Tensor& t) { return t.slice(1, h, h + 1).unsqueeze(2); };
      const at::Tensor keys = k.slice(1, h / group, h / group + 1);
      out.slice(1, i, i + 1)
          .copy_(
              reduced_window(one(q), keys, lse ? one(*lse) : at::Tensor(), scale, options.reduction)
                  .flatten(1, 2));
    }
  }

  return pool_scores_aten(out, options.pooling, options.pooling_kernel);
}

at::Tensor attention_received_aten(const at::Tensor& q,
                                   const at::Tensor& k,
                                   const at::Tensor& lse,
                                   double scale,
                                   int64_t attention_window) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2);
  const int64_t num_kv_heads = k.size(1), num_keys = k.size(2), group = num_heads / num_kv_heads;
  at::Tensor out = at::zeros({batch, num_kv_heads, group, num_keys}, q.options().dtype(at::kFloat));
  const int64_t logits_per_row = std::max<int64_t>(1, batch * num_heads * num_keys);
  const int64_t block = std::max<int64_t>(1, kAtenBlockElements / logits_per_row);
  const at::Tensor keys = k.to(at::kFloat).transpose(-1, -2);
  const auto options = at::TensorOptions().dtype(at::kLong).device(q.device());
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = std::min(n, begin + block), first = num_keys - n + begin;
    // Keys from the first row's window to the last row itself: no other is seen.
    const int64_t low =
        attention_window > 0 ? std::max<int64_t>(0, first - attention_window + 1) : 0;
    const int64_t high = first + end - begin;
    const auto grouped = [&](const at::Tensor& t) {
      return t.slice(2, begin, end).unflatten(1, {num_kv_heads, group});
    };
    const at::Tensor rows = grouped(q).to(at::kFloat).mul(scale).flatten(2, 3);
    at::Tensor weight = at::matmul(rows, keys.slice(-1, low, high));
    weight = weight.unflatten(2, {group, end - begin}).sub_(grouped(lse).unsqueeze(-1)).exp_();
    const at::Tensor row = at::arange(first, high, options).unsqueeze(1);
    const at::Tensor key = at::arange(low, high, options).unsqueeze(0);
    at::Tensor hidden = key > row;
    if (attention_window > 0) hidden = hidden.logical_or_(key <= row - attention_window);
    out.slice(-1, low, high).add_(weight.masked_fill_(hidden, 0.0).sum(3));
  }
  return out.flatten(1, 2);
}

std::vector<at::Tensor> select_retained_aten(const at::Tensor& scores,
                                             std::span<const int64_t> count) {
  const int64_t n = scores.size(1);
  // Two stable sorts: by score with NaN lowered to -inf, then NaN behind everything else.
  const at::Tensor is_nan = scores.isnan();
  const at::Tensor lowered = scores.masked_fill(is_nan, kMinusInfinity);
  const at::Tensor by_score =
      std::get<1>(at::sort(lowered, /*stable=*/true, /*dim=*/1, /*descending=*/true));
  const at::Tensor nan_last =
      std::get<1>(at::sort(is_nan.gather(1, by_score).to(at::kByte), /*stable=*/true, /*dim=*/1,
                           /*descending=*/false));
  const at::Tensor ranked = by_score.gather(1, nan_last);
  std::vector<at::Tensor> kept;
  kept.reserve(count.size());
  for (size_t r = 0; r < count.size(); ++r) {
    const int64_t m = std::clamp<int64_t>(count[r], 0, n);
    const at::Tensor best = ranked.select(0, static_cast<int64_t>(r)).slice(0, 0, m);
    kept.push_back(std::get<0>(at::sort(best)));
  }
  return kept;
}

void compact_kv_aten(const at::Tensor& source,
                     const at::Tensor& positions,
                     const at::Tensor& target,
                     int64_t target_offset) {
  const int64_t m = positions.size(0);
  // index_select makes its own copy, so source and target may overlap.
  target.narrow(0, target_offset, m).copy_(source.index_select(0, positions));
}

namespace {

// Softmax state over some keys: maximum, sum of exponentials, weighted values.
struct PartialSoftmax {
  at::Tensor max;  // [Hkv, R, 1]
  at::Tensor sum;  // [Hkv, R, 1]
  at::Tensor o;    // [Hkv, R, d]
};

PartialSoftmax partial_softmax(const at::Tensor& logits, const at::Tensor& values) {
  PartialSoftmax state;
  state.max = at::amax(logits, {-1}, /*keepdim=*/true);
  const at::Tensor weight = (logits - state.max).exp_();
  state.sum = weight.sum(-1, /*keepdim=*/true);
  state.o = at::matmul(weight, values);
  return state;
}

PartialSoftmax merge(const PartialSoftmax& a, const PartialSoftmax& b) {
  PartialSoftmax out;
  out.max = at::maximum(a.max, b.max);
  const at::Tensor wa = (a.max - out.max).exp_();
  const at::Tensor wb = (b.max - out.max).exp_();
  out.sum = a.sum * wa + b.sum * wb;
  out.o = a.o * wa + b.o * wb;
  return out;
}

}  // namespace

at::Tensor error_curve_aten(const at::Tensor& q,
                            const at::Tensor& k,
                            const at::Tensor& v,
                            double scale,
                            int64_t first_position,
                            const at::Tensor& order,
                            std::span<const int64_t> cuts,
                            int64_t tail_begin) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2);
  const int64_t num_kv_heads = k.size(0), group = num_heads / num_kv_heads;
  const int64_t num_cuts = static_cast<int64_t>(cuts.size());
  at::Tensor out = at::empty({num_cuts, num_heads, n, d}, q.options().dtype(at::kFloat));
  if (num_cuts == 0 || n == 0) return out;
  const int64_t widest = std::max({cuts.back(), first_position + n - tail_begin, int64_t{1}});
  const int64_t block = std::max<int64_t>(1, kAtenBlockElements / (num_heads * widest));
  const auto ranked = [&](const at::Tensor& t, int64_t begin, int64_t end) {
    const at::Tensor index = order.slice(1, begin, end).unsqueeze(-1).expand({-1, -1, d});
    return t.gather(1, index).to(at::kFloat);
  };
  const auto options = at::TensorOptions().dtype(at::kLong).device(q.device());
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t rows = std::min(block, n - begin), first = first_position + begin;
    const at::Tensor rows_q = q.slice(1, begin, begin + rows)
                                  .reshape({num_kv_heads, group * rows, d})
                                  .to(at::kFloat)
                                  .mul(scale);
    const at::Tensor tail_k = k.slice(1, tail_begin, first + rows).to(at::kFloat);
    at::Tensor logits = at::matmul(rows_q, tail_k.transpose(-1, -2));
    const at::Tensor row = at::arange(first, first + rows, options).repeat({group}).unsqueeze(1);
    const at::Tensor key = at::arange(tail_begin, first + rows, options).unsqueeze(0);
    logits.masked_fill_(key > row, kMinusInfinity);
    PartialSoftmax state =
        partial_softmax(logits, v.slice(1, tail_begin, first + rows).to(at::kFloat));
    int64_t done = 0;
    for (int64_t b = 0; b < num_cuts; ++b) {
      const int64_t cut = cuts[static_cast<size_t>(b)];
      if (cut > done) {
        const at::Tensor band = at::matmul(rows_q, ranked(k, done, cut).transpose(-1, -2));
        state = merge(state, partial_softmax(band, ranked(v, done, cut)));
        done = cut;
      }
      out.select(0, b)
          .slice(1, begin, begin + rows)
          .copy_((state.o / state.sum).reshape({num_heads, rows, d}));
    }
  }
  return out;
}

}  // namespace headscope::kernels
