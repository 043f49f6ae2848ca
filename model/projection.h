// Matrix products of rows with a projection stored as Hugging Face stores it, [out, in].
#pragma once

#include <ATen/core/Tensor.h>

namespace headscope::model {

// The weight as the products below take it fastest, in place of the weight itself: on a CPU
// oneDNN's blocked layout, where LibTorch and the processor have it for the dtype (float32;
// bfloat16 with AVX512-BF16). Else the weight as it is. Measured with SmolLM2's shapes on a Zen 5
// core, float32: 2.3 times the rate of LibTorch's plain product (MKL) for 64 rows and more, 2 times
// for one.
[[nodiscard]] at::Tensor packed_weight(const at::Tensor& weight);  // [out, in]
// The plain [out, in] again: a copy where it was packed.
[[nodiscard]] at::Tensor plain_weight(const at::Tensor& weight);

// rows * weight^T (+ bias), [n, out]. `bias` may be undefined.
[[nodiscard]] at::Tensor project(const at::Tensor& rows,    // [n, in]
                                 const at::Tensor& weight,  // [out, in]
                                 const at::Tensor& bias);   // [out]

// sum += rows * weight^T (+ bias), in place: the residual addition rides along with the product.
void add_projected_(at::Tensor sum,            // [n, out]
                    const at::Tensor& rows,    // [n, in]
                    const at::Tensor& weight,  // [out, in]
                    const at::Tensor& bias);   // [out]

}  // namespace headscope::model
