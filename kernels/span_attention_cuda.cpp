// Plans of span masses: sums over the spans' keys only, set against the rows' log-sum-exp.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/cuda_ops.h"
#include "kernels/cuda_plan.h"

namespace headscope::kernels {
namespace {

std::vector<int64_t> all_heads(int64_t count) {
  std::vector<int64_t> heads(static_cast<size_t>(count));
  std::iota(heads.begin(), heads.end(), 0);
  return heads;
}

// Spans as pieces, the same for every KV head; piece i of span s has span_begin[s] <= i.
struct Pieces {
  std::vector<Segment> piece;
  std::vector<int32_t> span_begin{0};
};

// From span `first` on, as many spans as one launch takes. A span of more pieces than that is cut
// into longer ones.
Pieces cut_spans(std::span<const KeySpan> spans, int64_t end, int32_t limit, int64_t keys) {
  Pieces cut;
  for (const KeySpan& span : spans) {
    const int64_t last = std::min(span.end, end);
    const int64_t length = std::max<int64_t>(0, last - span.begin);
    const int64_t step = std::max(keys, (length + kMaxSegments - 1) / kMaxSegments);
    const auto pieces = static_cast<size_t>((length + step - 1) / step);
    if (cut.piece.size() + pieces > kMaxSegments || cut.span_begin.size() > kMaxSegments) break;
    add_segments({0, static_cast<int32_t>(span.begin), static_cast<int32_t>(last), limit}, step,
                 cut.piece);
    cut.span_begin.push_back(static_cast<int32_t>(cut.piece.size()));
  }
  return cut;
}

}  // namespace

std::optional<at::Tensor> span_attention_cuda(const KernelLauncher& launcher,
                                              const at::Tensor& q,
                                              const at::Tensor& k,
                                              double scale,
                                              int64_t first_position,
                                              std::span<const KeySpan> spans,
                                              const std::optional<at::Tensor>& lse) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2), num_kv_heads = k.size(0);
  const int64_t packed = num_heads / num_kv_heads * n;
  const auto num_spans = static_cast<int64_t>(spans.size());
  if (!takes_head_dim(d) || num_kv_heads > kMaxMergedRows || k.size(1) > INT32_MAX ||
      num_heads * n > INT32_MAX / (kMaxSegments + 1) || packed > kMostPackedRows ||
      num_spans > INT32_MAX) {
    return std::nullopt;
  }
  const c10::DeviceGuard guard(q.device());
  at::Tensor out = at::empty({num_heads, n, num_spans}, q.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  const std::vector<int64_t> heads = all_heads(num_kv_heads);
  const at::Tensor row_lse =
      lse ? lse->contiguous()
          : row_lse_cuda(launcher, q.unsqueeze(0), k.unsqueeze(0), scale, first_position, heads);
  const at::Tensor rows = readable_rows(q), keys = readable_rows(k);
  const AttentionTask task = attention_task(rows, keys, std::nullopt, num_kv_heads, scale);
  const int64_t step = keys_per_part(launcher, num_kv_heads * k.size(1), packed);
  for (int64_t begin = 0; begin < num_spans;) {
    const Pieces cut = cut_spans(spans.subspan(static_cast<size_t>(begin)), first_position + n,
                                 static_cast<int32_t>(first_position + 1), step);
    std::vector<Segment> segments;
    for (int32_t head = 0; head < num_kv_heads; ++head) {
      for (Segment piece : cut.piece) {
        piece.kv_row = head;
        segments.push_back(piece);
      }
    }
    const Parts parts = run_segments(launcher, task, segments, q.options());
    MassTask mass{};
    mass.max = parts.max.const_data_ptr<float>();
    mass.sum = parts.sum.const_data_ptr<float>();
    mass.packed_rows = static_cast<int>(packed);
    mass.kv_rows = static_cast<int>(num_kv_heads);
    mass.num_parts = static_cast<int>(cut.piece.size());
    mass.lse = row_lse.const_data_ptr<float>();
    mass.num_spans = static_cast<int>(cut.span_begin.size()) - 1;
    mass.out = out.data_ptr<float>() + begin;
    mass.out_stride = static_cast<int>(num_spans);
    std::iota(mass.kv_row, mass.kv_row + num_kv_heads, 0);
    std::copy(cut.span_begin.begin(), cut.span_begin.end(), mass.span_begin);
    launcher.launch(mass);
    begin += mass.num_spans;
  }
  return out;
}

std::optional<TopAttended> top_attended_cuda(const KernelLauncher& launcher,
                                             const at::Tensor& q,
                                             const at::Tensor& k,
                                             double scale,
                                             int64_t first_position,
                                             int64_t top_n,
                                             const std::optional<at::Tensor>& lse) {
  const int64_t num_heads = q.size(0), n = q.size(1), num_kv_heads = k.size(0);
  if (!takes_head_dim(q.size(2)) || top_n > kMostTopRanked || k.size(1) > INT32_MAX ||
      num_heads * n > INT32_MAX / kMostTopRanked ||
      num_heads / num_kv_heads * n > kMostPackedRows) {
    return std::nullopt;
  }
  const c10::DeviceGuard guard(q.device());
  const auto floats = q.options().dtype(at::kFloat);
  TopAttended top{at::empty({num_heads, n, top_n}, floats),
                  at::empty({num_heads, n, top_n}, q.options().dtype(at::kLong))};
  if (q.numel() == 0) return top;
  const at::Tensor row_lse = lse ? lse->contiguous()
                                 : row_lse_cuda(launcher, q.unsqueeze(0), k.unsqueeze(0), scale,
                                                first_position, all_heads(num_kv_heads));
  const at::Tensor rows = readable_rows(q), keys = readable_rows(k);
  const int64_t widest = num_heads * (first_position + n);
  const int64_t block = std::max<int64_t>(1, kMostLogits / widest);
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = std::min(block, n - begin), first = first_position + begin;
    LogitTask logits{};
    const at::Tensor block_rows = rows.slice(1, begin, begin + count);
    logits.shape = tile_shape(std::array{block_rows, keys});
    logits.q = rows_of(block_rows);
    logits.k = rows_of(keys);
    logits.num_kv_heads = static_cast<int>(num_kv_heads);
    logits.group = static_cast<int>(num_heads / num_kv_heads);
    logits.n = static_cast<int>(count);
    logits.first_position = first;
    logits.num_keys = first + count;
    logits.tile_keys = warp_tile_keys(logits.shape);
    logits.scale = static_cast<float>(scale);
    const at::Tensor scores = at::empty({num_heads * count, logits.num_keys}, floats);
    logits.logits = scores.data_ptr<float>();
    launcher.launch(logits);
    std::vector<int64_t> wanted;
    for (int64_t r = 0; r < num_heads * count; ++r) {
      wanted.push_back(std::min(top_n, first + r % count + 1));
    }
    const std::optional<at::Tensor> chosen = selected_positions_cuda(launcher, scores, wanted);
    if (!chosen) return std::nullopt;
    RankTask rank{};
    rank.logits = logits.logits;
    rank.positions = chosen->const_data_ptr<int64_t>();
    rank.lse = row_lse.const_data_ptr<float>() + begin;
    rank.num_keys = logits.num_keys;
    rank.lse_stride = rank.out_stride = n;
    rank.heads = static_cast<int>(num_heads);
    rank.n = static_cast<int>(count);
    rank.first_position = first;
    rank.top_n = static_cast<int>(top_n);
    rank.weight = top.weight.data_ptr<float>() + begin * top_n;
    rank.position = top.position.data_ptr<int64_t>() + begin * top_n;
    launcher.launch(rank);
  }
  return top;
}

}  // namespace headscope::kernels
