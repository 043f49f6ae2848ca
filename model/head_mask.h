// The seam through which tools change a forward pass: chosen query heads whose output z is replaced
// before the output projection, at every position of every pass. Zero or mean ablation, as the
// causal check of retrieval heads needs it (Wu et al., 2404.15574, mask heads only while decoding
// and leave their query at zero, which makes the output the mean of v; here the prompt's pass is
// masked as well and what stands in the output's place is said).
//
// A mask needs no cache to know of it: keys and values are stored as the model computes them, and
// only what the head adds to the residual stream changes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "outputs/model_shape.h"

namespace headscope::model {

struct MaskedHead {
  HeadId head;
  at::Tensor replacement;  // [head_dim], any float dtype and device; undefined = zeros
};

class HeadMask {
 public:
  // Replacements are kept at the decoder's `dtype` on its `device`. std::invalid_argument: a head
  // outside the shape, a head given twice, a replacement that is not [head_dim].
  HeadMask(const ModelShape& shape,
           at::ScalarType dtype,
           at::Device device,
           const std::vector<MaskedHead>& heads);

  // z with the layer's masked heads replaced at every position, in a new tensor; z itself where the
  // layer has none, untouched. std::invalid_argument where z is of another shape, dtype or device.
  [[nodiscard]] at::Tensor apply(int64_t layer,
                                 const at::Tensor& z) const;  // [B, num_query_heads, n, head_dim]

  [[nodiscard]] int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }

 private:
  struct Layer {
    at::Tensor heads;         // [m] int64, undefined = none
    at::Tensor replacements;  // [1, m, 1, head_dim]
  };

  int64_t num_query_heads_ = 0;
  int64_t head_dim_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace headscope::model
