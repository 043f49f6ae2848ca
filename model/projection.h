// Matrix products of rows with a projection stored as Hugging Face stores it, [out, in].
#pragma once

#include <ATen/core/Tensor.h>

namespace headscope::model {

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
