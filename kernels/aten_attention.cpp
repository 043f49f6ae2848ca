// Attention as blocks of query rows against the keys that they can see, in float32.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "kernels/aten_ops.h"

namespace headscope::kernels {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// Rows whose logits over num_keys keys fit the block.
int64_t rows_per_block(int64_t num_heads, int64_t num_keys) {
  return std::max<int64_t>(1, kAtenBlockElements / std::max<int64_t>(1, num_heads * num_keys));
}

// [n, S'] bool, true where the key must not be seen: row r at row_position + r, key j at
// key_position + j; window 0 = every earlier key.
at::Tensor hidden_keys(int64_t n,
                       int64_t num_keys,
                       int64_t row_position,
                       int64_t key_position,
                       int64_t window,
                       const at::Device& device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor row = at::arange(row_position, row_position + n, options).unsqueeze(1);
  const at::Tensor key = at::arange(key_position, key_position + num_keys, options).unsqueeze(0);
  at::Tensor hidden = key > row;
  if (window > 0) hidden = hidden.logical_or(key <= row - window);
  return hidden;
}

}  // namespace

AttentionResult causal_attention_aten(const at::Tensor& q,
                                      const at::Tensor& k,
                                      const at::Tensor& v,
                                      double scale,
                                      int64_t attention_window) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2), d = q.size(3);
  const int64_t num_kv_heads = k.size(1), num_keys = k.size(2), group = num_heads / num_kv_heads;
  AttentionResult out{at::empty({batch, num_heads, n, d}, q.options()),
                      at::empty({batch, num_heads, n}, q.options().dtype(at::kFloat))};
  const int64_t reach = attention_window > 0 ? std::min(num_keys, attention_window) : num_keys;
  const int64_t block = rows_per_block(batch * num_heads, reach);
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t rows = std::min(block, n - begin);
    const int64_t first = num_keys - n + begin;  // position of the block's first row
    const int64_t key_end = first + rows;
    const int64_t key_begin =
        attention_window > 0 ? std::max<int64_t>(0, first - attention_window + 1) : 0;
    const at::Tensor keys = k.slice(2, key_begin, key_end).to(at::kFloat).unsqueeze(2);
    const at::Tensor values = v.slice(2, key_begin, key_end).to(at::kFloat).unsqueeze(2);
    const at::Tensor rows_q =
        q.slice(2, begin, begin + rows).reshape({batch, num_kv_heads, group, rows, d});
    at::Tensor logits = at::matmul(rows_q.to(at::kFloat) * scale, keys.transpose(-1, -2));
    logits.masked_fill_(
        hidden_keys(rows, key_end - key_begin, first, key_begin, attention_window, q.device()),
        kMinusInfinity);
    const at::Tensor lse = at::logsumexp(logits, {-1}, /*keepdim=*/true);
    const at::Tensor z = at::matmul(logits.sub_(lse).exp_(), values);
    out.z.slice(2, begin, begin + rows).copy_(z.reshape({batch, num_heads, rows, d}));
    out.lse.slice(2, begin, begin + rows).copy_(lse.reshape({batch, num_heads, rows}));
  }
  return out;
}

AttentionResult full_attention_aten(const at::Tensor& q,
                                    const at::Tensor& k,
                                    const at::Tensor& v,
                                    double scale) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2), d = q.size(3);
  const int64_t num_kv_heads = k.size(1), group = num_heads / num_kv_heads;
  AttentionResult out{at::empty({batch, num_heads, n, d}, q.options()),
                      at::empty({batch, num_heads, n}, q.options().dtype(at::kFloat))};
  const at::Tensor keys = k.to(at::kFloat).unsqueeze(2).transpose(-1, -2);
  const at::Tensor values = v.to(at::kFloat).unsqueeze(2);
  const int64_t block = rows_per_block(batch * num_heads, k.size(2));
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t rows = std::min(block, n - begin);
    const at::Tensor rows_q =
        q.slice(2, begin, begin + rows).reshape({batch, num_kv_heads, group, rows, d});
    at::Tensor logits = at::matmul(rows_q.to(at::kFloat) * scale, keys);
    const at::Tensor lse = at::logsumexp(logits, {-1}, /*keepdim=*/true);
    const at::Tensor z = at::matmul(logits.sub_(lse).exp_(), values);
    out.z.slice(2, begin, begin + rows).copy_(z.reshape({batch, num_heads, rows, d}));
    out.lse.slice(2, begin, begin + rows).copy_(lse.reshape({batch, num_heads, rows}));
  }
  return out;
}

AttentionResult ragged_attention_aten(const at::Tensor& q, const RaggedKv& kv, double scale) {
  const int64_t batch = q.size(0), num_heads = q.size(1), n = q.size(2), d = q.size(3);
  const int64_t num_kv_heads = static_cast<int64_t>(kv.length.size()) / batch;
  const int64_t group = num_heads / num_kv_heads;
  AttentionResult out{at::empty({batch, num_heads, n, d}, q.options()),
                      at::empty({batch, num_heads, n}, q.options().dtype(at::kFloat))};
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < num_kv_heads; ++h) {
      const auto row = static_cast<size_t>(b * num_kv_heads + h);
      const int64_t begin = kv.offset[row], end = begin + kv.length[row];
      const auto heads = [&](const at::Tensor& t) {
        return t.slice(0, b, b + 1).slice(1, h * group, (h + 1) * group);
      };
      const AttentionResult one =
          causal_attention_aten(heads(q), kv.keys.slice(0, begin, end).unsqueeze(0).unsqueeze(0),
                                kv.values.slice(0, begin, end).unsqueeze(0).unsqueeze(0), scale,
                                /*attention_window=*/0);
      heads(out.z).copy_(one.z);
      heads(out.lse).copy_(one.lse);
    }
  }
  return out;
}

at::Tensor row_lse_aten(const at::Tensor& q,
                        const at::Tensor& k,
                        double scale,
                        int64_t first_position) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2);
  const int64_t num_kv_heads = k.size(0), group = num_heads / num_kv_heads;
  at::Tensor out = at::empty({num_heads, n}, q.options().dtype(at::kFloat));
  const int64_t block = rows_per_block(num_heads, first_position + n);
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t rows = std::min(block, n - begin);
    const int64_t first = first_position + begin;
    const at::Tensor rows_q =
        q.slice(1, begin, begin + rows).reshape({num_kv_heads, group, rows, d}).to(at::kFloat);
    const at::Tensor keys = k.slice(1, 0, first + rows).to(at::kFloat).unsqueeze(1);
    at::Tensor logits = at::matmul(rows_q * scale, keys.transpose(-1, -2));
    logits.masked_fill_(hidden_keys(rows, first + rows, first, 0, 0, q.device()), kMinusInfinity);
    out.slice(1, begin, begin + rows).copy_(at::logsumexp(logits, {-1}).reshape({num_heads, rows}));
  }
  return out;
}

at::Tensor span_attention_aten(const at::Tensor& q,
                               const at::Tensor& k,
                               double scale,
                               int64_t first_position,
                               std::span<const KeySpan> spans,
                               const std::optional<at::Tensor>& lse) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2);
  const int64_t num_kv_heads = k.size(0), group = num_heads / num_kv_heads;
  const int64_t num_spans = static_cast<int64_t>(spans.size());
  at::Tensor out = at::zeros({num_heads, n, num_spans}, q.options().dtype(at::kFloat));
  if (num_spans == 0 || n == 0) return out;
  const at::Tensor row_lse = (lse ? *lse : row_lse_aten(q, k, scale, first_position))
                                 .to(at::kFloat)
                                 .reshape({num_kv_heads, group, n, 1});
  const at::Tensor rows_q = q.reshape({num_kv_heads, group, n, d}).to(at::kFloat) * scale;
  for (int64_t s = 0; s < num_spans; ++s) {
    const KeySpan span = spans[static_cast<size_t>(s)];
    const int64_t end = std::min(span.end, first_position + n);
    // A long span is read in pieces so that its logits fit the block.
    const int64_t step = rows_per_block(num_heads, n);
    for (int64_t begin = span.begin; begin < end; begin += step) {
      const int64_t piece_end = std::min(end, begin + step);
      const at::Tensor keys = k.slice(1, begin, piece_end).to(at::kFloat).unsqueeze(1);
      at::Tensor logits = at::matmul(rows_q, keys.transpose(-1, -2)).sub_(row_lse);
      logits.masked_fill_(hidden_keys(n, piece_end - begin, first_position, begin, 0, q.device()),
                          kMinusInfinity);
      out.select(2, s).add_(logits.exp_().sum(-1).reshape({num_heads, n}));
    }
  }
  return out;
}

TopAttended top_attended_aten(const at::Tensor& q,
                              const at::Tensor& k,
                              double scale,
                              int64_t first_position,
                              int64_t top_n,
                              const std::optional<at::Tensor>& lse) {
  const int64_t num_heads = q.size(0), n = q.size(1), d = q.size(2);
  const int64_t num_kv_heads = k.size(0), group = num_heads / num_kv_heads;
  TopAttended out{at::zeros({num_heads, n, top_n}, q.options().dtype(at::kFloat)),
                  at::full({num_heads, n, top_n}, -1, q.options().dtype(at::kLong))};
  const int64_t block = rows_per_block(num_heads, first_position + n);
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t rows = std::min(block, n - begin);
    const int64_t first = first_position + begin;
    const int64_t found = std::min(top_n, first + rows);
    const at::Tensor rows_q =
        q.slice(1, begin, begin + rows).reshape({num_kv_heads, group, rows, d}).to(at::kFloat);
    const at::Tensor keys = k.slice(1, 0, first + rows).to(at::kFloat).unsqueeze(1);
    at::Tensor logits = at::matmul(rows_q * scale, keys.transpose(-1, -2));
    logits.masked_fill_(hidden_keys(rows, first + rows, first, 0, 0, q.device()), kMinusInfinity);
    logits = logits.reshape({num_heads, rows, first + rows});
    const at::Tensor row_lse =
        lse ? lse->slice(1, begin, begin + rows).to(at::kFloat) : at::logsumexp(logits, {-1});
    // A stable sort keeps the lower position first among equals; topk does not promise that.
    const auto [value, position] = at::sort(logits, /*stable=*/true, -1, /*descending=*/true);
    const at::Tensor top = value.slice(-1, 0, found);
    const at::Tensor seen = top > kMinusInfinity;
    out.weight.slice(1, begin, begin + rows)
        .slice(2, 0, found)
        .copy_((top - row_lse.unsqueeze(-1)).exp());
    out.position.slice(1, begin, begin + rows)
        .slice(2, 0, found)
        .copy_(at::where(seen, position.slice(-1, 0, found), -1));
  }
  return out;
}

}  // namespace headscope::kernels
