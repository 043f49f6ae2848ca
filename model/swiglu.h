// The gated unit of the feed-forward block: SwiGLU (Shazeer, 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

namespace headscope::model {

// silu(gate) * up for rows that hold both side by side, silu rounded to their dtype first, as
// transformers does. One pass over memory on a CPU. Result contiguous, [n, size].
[[nodiscard]] at::Tensor swiglu(const at::Tensor& gate_up);  // [n, 2 * size], last one contiguous

}  // namespace headscope::model
