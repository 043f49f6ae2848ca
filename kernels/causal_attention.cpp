#include "kernels/causal_attention.h"

#include <ATen/ATen.h>

#include <tuple>

#include "kernels/aten_ops.h"
#include "kernels/cpu_features.h"
#include "kernels/cpu_ops.h"

namespace headscope::kernels {
namespace {

// LibTorch's flash kernels want unit stride along head_dim; anything else they take as it is.
at::Tensor unit_stride(const at::Tensor& t) {
  return t.stride(-1) == 1 ? t : t.contiguous();
}

// LibTorch's flash kernels exist for the 16-bit types, head_dim in multiples of 8 up to 256.
bool has_flash_kernel(const at::Tensor& q) {
  return q.scalar_type() != at::kFloat && q.size(3) % 8 == 0 && q.size(3) <= 256;
}

AttentionResult flash_attention(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, bool is_causal) {
  // Called directly, this op aligns its causal mask to the lower right and reads grouped KV heads.
  auto out = at::_scaled_dot_product_flash_attention(unit_stride(q), unit_stride(k), unit_stride(v),
                                                     /*dropout_p=*/0.0, is_causal,
                                                     /*return_debug_mask=*/false, scale);
  return {std::get<0>(out), std::get<1>(out)};
}

// Rows from which LibTorch's flash kernel for the CPU is faster than ours where it has AMX.
constexpr int64_t kFewestFlashRows = 128;

bool flash_wins_on_cpu(const at::Tensor& q) {
  return instruction_set() == InstructionSet::kAmxBf16 && q.scalar_type() == at::kBFloat16 &&
         q.size(2) >= kFewestFlashRows && q.size(3) % 32 == 0;
}

AttentionResult flash_on_cpu(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, bool is_causal) {
  auto [z, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      unit_stride(q), unit_stride(k), unit_stride(v), /*dropout_p=*/0.0, is_causal,
      /*attn_mask=*/std::nullopt, scale);
  return {z, lse};
}

// One answer from those over two sets of keys.
AttentionResult merged(const AttentionResult& a, const AttentionResult& b) {
  const at::Tensor lse = at::logaddexp(a.lse, b.lse);
  const auto share = [&](const AttentionResult& part) {
    return part.z.to(at::kFloat).mul_((part.lse - lse).exp_().unsqueeze(-1));
  };
  return {share(a).add_(share(b)).to(a.z.scalar_type()), lse};
}

}  // namespace

AttentionResult causal_attention_cpu(const at::Tensor& q,
                                     const at::Tensor& k,
                                     const at::Tensor& v,
                                     double scale,
                                     int64_t attention_window) {
  const bool windowed = attention_window > 0 && attention_window < k.size(2);
  if (windowed || !flash_wins_on_cpu(q)) {
    return tiled_attention_cpu(q, k, v, scale, attention_window);
  }
  // Its causal mask begins at the first key: what lies before the rows' own keys is read without.
  const int64_t before = k.size(2) - q.size(2);
  const auto own = [&](const at::Tensor& t) { return t.slice(2, before); };
  const AttentionResult last = flash_on_cpu(q, own(k), own(v), scale, /*is_causal=*/true);
  if (before == 0) return last;
  return merged(flash_on_cpu(q, k.slice(2, 0, before), v.slice(2, 0, before), scale,
                             /*is_causal=*/false),
                last);
}

AttentionResult causal_attention_cuda(const at::Tensor& q,
                                      const at::Tensor& k,
                                      const at::Tensor& v,
                                      double scale,
                                      int64_t attention_window) {
  const bool windowed = attention_window > 0 && attention_window < k.size(2);
  return windowed || !has_flash_kernel(q) ? causal_attention_aten(q, k, v, scale, attention_window)
                                          : flash_attention(q, k, v, scale, /*is_causal=*/true);
}

AttentionResult full_attention_cuda(const at::Tensor& q,
                                    const at::Tensor& k,
                                    const at::Tensor& v,
                                    double scale) {
  return has_flash_kernel(q) ? flash_attention(q, k, v, scale, /*is_causal=*/false)
                             : full_attention_aten(q, k, v, scale);
}

}  // namespace headscope::kernels
