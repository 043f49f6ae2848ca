#include "kernels/ops.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <string>

#include "kernels/aten_ops.h"
#include "kernels/causal_attention.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_ops.h"
#include "kernels/tensor_check.h"

namespace headscope::kernels {
namespace {

// Checks shared by every op that takes queries and keys. `lead` = number of leading batch
// dimensions (1 for [B, ...], 0 otherwise).
void check_query_key(const at::Tensor& q, const at::Tensor& k, bool batched) {
  if (batched) {
    expect_shape(q, "q", {{"B", kAnySize}, {"Hq", kAnySize}, {"n", kAnySize}, {"d", kAnySize}});
    expect_shape(k, "k", {{"B", q.size(0)}, {"Hkv", kAnySize}, {"S", kAnySize}, {"d", q.size(3)}});
  } else {
    expect_shape(q, "q", {{"Hq", kAnySize}, {"n", kAnySize}, {"d", kAnySize}});
    expect_shape(k, "k", {{"Hkv", kAnySize}, {"S", kAnySize}, {"d", q.size(2)}});
  }
  expect_attention_dtype(q, "q");
  expect_same_dtype(k, "k", q, "q");
  expect_same_device(k, "k", q, "q");
  expect_query_groups(q.size(-3), k.size(-3));
}

void check_value(const at::Tensor& v, const at::Tensor& k) {
  expect(v.defined() && v.sizes() == k.sizes(), "v", "the shape of k", "another shape");
  expect_same_dtype(v, "v", k, "k");
  expect_same_device(v, "v", k, "k");
}

void check_rows(const at::Tensor& q, const at::Tensor& k, int64_t first_position) {
  expect(first_position >= 0 && first_position + q.size(1) <= k.size(1), "first_position",
         "0 .. S - n = " + std::to_string(k.size(1) - q.size(1)), std::to_string(first_position));
}

void check_lse(const std::optional<at::Tensor>& lse, const at::Tensor& q) {
  if (!lse) return;
  expect(lse->defined() && lse->sizes() == q.sizes().slice(0, static_cast<size_t>(q.dim() - 1)),
         "lse", "one float32 value for every row of q", "another shape");
  expect_dtype(*lse, "lse", at::kFloat);
  expect_same_device(*lse, "lse", q, "q");
}

void check_compaction(const at::Tensor& source,  // [S, d]
                      const at::Tensor& positions,
                      const at::Tensor& target,
                      int64_t target_offset) {
  expect_shape(positions, "positions", {{"m", kAnySize}});
  expect_dtype(positions, "positions", at::kLong);
  expect_same_device(positions, "positions", source, "source");
  const int64_t count = positions.size(0);
  if (target_offset >= 0 && target_offset + count <= target.size(0)) return;
  expect(false, "target_offset",
         "room for " + std::to_string(count) + " rows in " + std::to_string(target.size(0)),
         std::to_string(target_offset));
}

void check_target(const at::Tensor& target, const at::Tensor& source) {
  expect_shape(target, "target", {{"capacity", kAnySize}, {"d", source.size(-1)}});
  expect_same_dtype(target, "target", source, "source");
  expect_same_device(target, "target", source, "source");
}

}  // namespace

AttentionResult causal_attention(const at::Tensor& q,
                                 const at::Tensor& k,
                                 const at::Tensor& v,
                                 double scale,
                                 int64_t attention_window) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/true);
  check_value(v, k);
  expect(q.size(2) <= k.size(2), "q", "at most S=" + std::to_string(k.size(2)) + " rows",
         std::to_string(q.size(2)));
  expect(attention_window >= 0, "attention_window", "0 or more", std::to_string(attention_window));
  if (q.numel() == 0) return causal_attention_aten(q, k, v, scale, attention_window);
  return q.is_cuda() ? causal_attention_cuda(q, k, v, scale, attention_window)
                     : causal_attention_cpu(q, k, v, scale, attention_window);
}

AttentionResult full_attention(const at::Tensor& q,
                               const at::Tensor& k,
                               const at::Tensor& v,
                               double scale) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/true);
  check_value(v, k);
  expect(k.size(2) >= 1, "k", "at least one key", "none");
  if (q.numel() == 0) return full_attention_aten(q, k, v, scale);
  return q.is_cuda() ? full_attention_cuda(q, k, v, scale)
                     : tiled_full_attention_cpu(q, k, v, scale);
}

AttentionResult ragged_attention(const at::Tensor& q, const RaggedKv& kv, double scale) {
  const c10::NoGradGuard no_grad;
  expect_shape(q, "q", {{"B", kAnySize}, {"Hq", kAnySize}, {"n", kAnySize}, {"d", kAnySize}});
  expect_attention_dtype(q, "q");
  const int64_t d = q.size(3);
  expect_shape(kv.keys, "kv.keys", {{"num_slots", kAnySize}, {"d", d}});
  expect_shape(kv.values, "kv.values", {{"num_slots", kv.keys.size(0)}, {"d", d}});
  for (const auto& [tensor, name] : {std::pair{&kv.keys, "kv.keys"}, {&kv.values, "kv.values"}}) {
    expect_same_dtype(*tensor, name, q, "q");
    expect_same_device(*tensor, name, q, "q");
  }
  const auto rows = static_cast<int64_t>(kv.length.size());
  expect(q.size(0) > 0 && rows > 0 && rows % q.size(0) == 0, "kv.length",
         "one length per (sequence, KV head)", std::to_string(rows) + " lengths");
  expect(kv.offset.size() == kv.length.size(), "kv.offset", std::to_string(rows) + " offsets",
         std::to_string(kv.offset.size()));
  expect_query_groups(q.size(1), rows / q.size(0));
  for (size_t r = 0; r < kv.length.size(); ++r) {
    expect(kv.length[r] >= q.size(2), "kv.length",
           "at least the n=" + std::to_string(q.size(2)) + " new tokens in every row",
           std::to_string(kv.length[r]));
    expect(kv.offset[r] >= 0 && kv.offset[r] + kv.length[r] <= kv.keys.size(0), "kv.offset",
           "rows inside the " + std::to_string(kv.keys.size(0)) + " slots",
           std::to_string(kv.offset[r]) + " + " + std::to_string(kv.length[r]));
  }
  if (const KernelLauncher* launcher = kernel_launcher(q.device())) {
    if (auto result = ragged_attention_cuda(*launcher, q, kv, scale)) return *std::move(result);
  }
  if (!q.is_cpu() || q.numel() == 0) return ragged_attention_aten(q, kv, scale);
  return ragged_attention_cpu(q, kv, scale);
}

at::Tensor window_importance(const at::Tensor& q,
                             const at::Tensor& k,
                             double scale,
                             std::span<const int64_t> heads,
                             const WindowImportanceOptions& options,
                             const std::optional<at::Tensor>& lse) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/true);
  check_lse(lse, q);
  expect(q.size(2) >= 1 && q.size(2) <= k.size(2), "q",
         "1 .. S=" + std::to_string(k.size(2)) + " window rows", std::to_string(q.size(2)));
  for (const int64_t head : heads) {
    expect(head >= 0 && head < q.size(1), "heads", "0 .. " + std::to_string(q.size(1) - 1),
           std::to_string(head));
  }
  expect(options.pooling_kernel >= 1 && options.pooling_kernel % 2 == 1, "options.pooling_kernel",
         "an odd number >= 1", std::to_string(options.pooling_kernel));
  if (const KernelLauncher* launcher = kernel_launcher(q.device())) {
    if (auto result = window_importance_cuda(*launcher, q, k, scale, heads, options, lse))
      return *std::move(result);
  }
  return q.is_cpu() ? window_importance_cpu(q, k, scale, heads, options, lse)
                    : window_importance_aten(q, k, scale, heads, options, lse);
}

at::Tensor span_attention(const at::Tensor& q,
                          const at::Tensor& k,
                          double scale,
                          int64_t first_position,
                          std::span<const KeySpan> spans,
                          const std::optional<at::Tensor>& lse) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/false);
  check_rows(q, k, first_position);
  check_lse(lse, q);
  for (const KeySpan& span : spans) {
    expect(span.begin >= 0 && span.begin <= span.end && span.end <= k.size(1), "spans",
           "0 <= begin <= end <= S=" + std::to_string(k.size(1)),
           std::to_string(span.begin) + " .. " + std::to_string(span.end));
  }
  if (const KernelLauncher* launcher = kernel_launcher(q.device())) {
    if (auto result = span_attention_cuda(*launcher, q, k, scale, first_position, spans, lse))
      return *std::move(result);
  }
  return q.is_cpu() ? span_attention_cpu(q, k, scale, first_position, spans, lse)
                    : span_attention_aten(q, k, scale, first_position, spans, lse);
}

TopAttended top_attended(const at::Tensor& q,
                         const at::Tensor& k,
                         double scale,
                         int64_t first_position,
                         int64_t top_n,
                         const std::optional<at::Tensor>& lse) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/false);
  check_rows(q, k, first_position);
  check_lse(lse, q);
  expect(top_n >= 1, "top_n", "1 or more", std::to_string(top_n));
  if (const KernelLauncher* launcher = kernel_launcher(q.device())) {
    if (auto result = top_attended_cuda(*launcher, q, k, scale, first_position, top_n, lse))
      return *std::move(result);
  }
  return q.is_cpu() && q.numel() > 0 && top_n <= kMostTopAttended
             ? top_attended_cpu(q, k, scale, first_position, top_n, lse)
             : top_attended_aten(q, k, scale, first_position, top_n, lse);
}

at::Tensor attention_received(const at::Tensor& q,
                              const at::Tensor& k,
                              const at::Tensor& lse,
                              double scale,
                              int64_t attention_window) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/true);
  check_lse(lse, q);
  expect(q.size(2) <= k.size(2), "q", "at most S=" + std::to_string(k.size(2)) + " rows",
         std::to_string(q.size(2)));
  expect(attention_window >= 0, "attention_window", "0 or more", std::to_string(attention_window));
  return attention_received_aten(q, k, lse, scale, attention_window);
}

std::vector<at::Tensor> select_retained(const at::Tensor& scores, std::span<const int64_t> count) {
  const c10::NoGradGuard no_grad;
  expect_shape(scores, "scores", {{"rows", static_cast<int64_t>(count.size())}, {"n", kAnySize}});
  expect_dtype(scores, "scores", at::kFloat);
  for (const int64_t c : count) expect(c >= 0, "count", "0 or more", std::to_string(c));
  if (const KernelLauncher* launcher = kernel_launcher(scores.device())) {
    if (auto kept = select_retained_cuda(*launcher, scores, count)) return *std::move(kept);
  }
  return scores.is_cpu() ? select_retained_cpu(scores, count) : select_retained_aten(scores, count);
}

void compact_kv(const at::Tensor& source,
                const at::Tensor& positions,
                const at::Tensor& target,
                int64_t target_offset) {
  const c10::NoGradGuard no_grad;
  expect_shape(source, "source", {{"S", kAnySize}, {"d", kAnySize}});
  check_target(target, source);
  check_compaction(source, positions, target, target_offset);
  const KernelLauncher* launcher = kernel_launcher(source.device());
  if (launcher != nullptr && compact_kv_cuda(*launcher, source, positions, target, target_offset)) {
    return;
  }
  if (source.is_cpu() && target.stride(1) == 1) {
    compact_kv_cpu(source, positions, target, target_offset);
  } else {
    compact_kv_aten(source, positions, target, target_offset);
  }
}

void compact_layer_kv(const at::Tensor& source,
                      std::span<const at::Tensor> positions,
                      const at::Tensor& target,
                      std::span<const int64_t> target_offset) {
  const c10::NoGradGuard no_grad;
  expect_shape(source, "source",
               {{"B", kAnySize}, {"Hkv", kAnySize}, {"S", kAnySize}, {"d", kAnySize}});
  const auto rows = static_cast<size_t>(source.size(0) * source.size(1));
  check_target(target, source);
  if (source.is_alias_of(target)) {
    expect(false, "target", "other storage than source's", "the same");
  }
  if (positions.size() != rows || target_offset.size() != rows) {  // words only where they are used
    expect(positions.size() == rows, "positions", "one tensor per (sequence, KV head)",
           std::to_string(positions.size()));
    expect(false, "target_offset", "one number per (sequence, KV head)",
           std::to_string(target_offset.size()));
  }
  for (size_t r = 0; r < rows; ++r) {
    check_compaction(source, positions[r], target, target_offset[r]);
  }
  const bool has_kernel = kernel_launcher(source.device()) != nullptr;
  if (!has_kernel && source.is_cpu() && target.stride(1) == 1) {
    compact_layer_kv_cpu(source, positions, target, target_offset);
    return;
  }
  const at::Tensor by_row = source.flatten(0, 1);
  for (size_t r = 0; r < rows; ++r) {
    compact_kv(by_row[static_cast<int64_t>(r)], positions[r], target, target_offset[r]);
  }
}

at::Tensor error_curve(const at::Tensor& q,
                       const at::Tensor& k,
                       const at::Tensor& v,
                       double scale,
                       int64_t first_position,
                       const at::Tensor& order,
                       std::span<const int64_t> cuts,
                       int64_t tail_begin) {
  const c10::NoGradGuard no_grad;
  check_query_key(q, k, /*batched=*/false);
  check_value(v, k);
  check_rows(q, k, first_position);
  expect(tail_begin >= 0 && tail_begin <= first_position, "tail_begin",
         "0 .. first_position=" + std::to_string(first_position), std::to_string(tail_begin));
  expect_shape(order, "order", {{"Hkv", k.size(0)}, {"m", kAnySize}});
  expect_dtype(order, "order", at::kLong);
  expect_same_device(order, "order", q, "q");
  int64_t previous = 0;
  for (const int64_t cut : cuts) {
    expect(cut >= previous && cut <= order.size(1), "cuts",
           "ascending numbers up to m=" + std::to_string(order.size(1)), std::to_string(cut));
    previous = cut;
  }
  if (q.is_cpu() && order.numel() > 0) {
    const auto [lowest, highest] = at::aminmax(order);
    expect(
        lowest.item<int64_t>() >= 0 && highest.item<int64_t>() < tail_begin, "order",
        "positions in 0 .. tail_begin - 1 = " + std::to_string(tail_begin - 1),
        std::to_string(lowest.item<int64_t>()) + " .. " + std::to_string(highest.item<int64_t>()));
  }
  if (const KernelLauncher* launcher = kernel_launcher(q.device())) {
    if (auto result =
            error_curve_cuda(*launcher, q, k, v, scale, first_position, order, cuts, tail_begin))
      return *std::move(result);
  }
  return q.is_cpu() ? error_curve_cpu(q, k, v, scale, first_position, order, cuts, tail_begin)
                    : error_curve_aten(q, k, v, scale, first_position, order, cuts, tail_begin);
}

}  // namespace headscope::kernels
