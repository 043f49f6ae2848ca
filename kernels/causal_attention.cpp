#include "kernels/causal_attention.h"

#include <ATen/ATen.h>

#include <tuple>

#include "kernels/aten_ops.h"

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

}  // namespace

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
