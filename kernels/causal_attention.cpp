#include "kernels/causal_attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "kernels/aten_ops.h"

namespace headscope::kernels {
namespace {

// LibTorch's flash kernels want unit stride along head_dim; anything else they take as it is.
at::Tensor unit_stride(const at::Tensor& t) {
  return t.stride(-1) == 1 ? t : t.contiguous();
}

AttentionResult flash_cpu(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, bool is_causal) {
  auto [z, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      q, k, v, /*dropout_p=*/0.0, is_causal, /*attn_mask=*/std::nullopt, scale);
  return {z, lse};
}

// Rows attend to every key. The query heads that share a KV head become rows of one head: each key
// is then read once for the group.
AttentionResult flash_cpu_packed(const at::Tensor& q,
                                 const at::Tensor& k,
                                 const at::Tensor& v,
                                 double scale) {
  const int64_t num_kv_heads = k.size(1), group = q.size(1) / num_kv_heads, n = q.size(2);
  const at::Tensor packed = q.reshape({q.size(0), num_kv_heads, group * n, q.size(3)});
  AttentionResult out = flash_cpu(packed, k, v, scale, /*is_causal=*/false);
  return {out.z.reshape(q.sizes()), out.lse.reshape({q.size(0), q.size(1), n})};
}

}  // namespace

AttentionResult merge_attention(const AttentionResult& a, const AttentionResult& b) {
  const at::Tensor lse = at::logaddexp(a.lse, b.lse);
  const at::Tensor weight_a = (a.lse - lse).exp_().unsqueeze(-1);
  const at::Tensor weight_b = (b.lse - lse).exp_().unsqueeze(-1);
  return {(a.z * weight_a + b.z * weight_b).to(a.z.scalar_type()), lse};
}

AttentionResult causal_attention_cpu(const at::Tensor& q,
                                     const at::Tensor& k,
                                     const at::Tensor& v,
                                     double scale,
                                     int64_t attention_window) {
  const int64_t n = q.size(2), num_keys = k.size(2), before = num_keys - n;
  if (attention_window > 0 && attention_window < num_keys) {
    return causal_attention_aten(q, k, v, scale, attention_window);
  }
  const at::Tensor rows = unit_stride(q), keys = unit_stride(k), values = unit_stride(v);
  if (n == 1) return flash_cpu_packed(rows, keys, values, scale);
  if (before == 0) return flash_cpu(rows, keys, values, scale, /*is_causal=*/true);
  // LibTorch aligns its causal mask to the upper left, so the keys before the first row and the
  // square of the new tokens are two calls.
  return merge_attention(
      flash_cpu(rows, keys.slice(2, 0, before), values.slice(2, 0, before), scale, false),
      flash_cpu(rows, keys.slice(2, before), values.slice(2, before), scale, true));
}

AttentionResult causal_attention_cuda(const at::Tensor& q,
                                      const at::Tensor& k,
                                      const at::Tensor& v,
                                      double scale,
                                      int64_t attention_window) {
  const int64_t d = q.size(3);
  const bool windowed = attention_window > 0 && attention_window < k.size(2);
  // LibTorch's flash kernels exist for the 16-bit types, head_dim in multiples of 8 up to 256.
  if (windowed || q.scalar_type() == at::kFloat || d % 8 != 0 || d > 256) {
    return causal_attention_aten(q, k, v, scale, attention_window);
  }
  // Called directly, this op aligns its causal mask to the lower right and reads grouped KV heads.
  auto out = at::_scaled_dot_product_flash_attention(unit_stride(q), unit_stride(k), unit_stride(v),
                                                     /*dropout_p=*/0.0, /*is_causal=*/true,
                                                     /*return_debug_mask=*/false, scale);
  return {std::get<0>(out), std::get<1>(out)};
}

}  // namespace headscope::kernels
