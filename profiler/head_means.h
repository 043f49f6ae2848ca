// The mean output z of every query head, which mean ablation puts in a head's place: it takes away
// what the head says of this prompt and leaves what it says of every prompt.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/observer.h"
#include "outputs/model_shape.h"

namespace headscope::profiler {

// Watches whole passes; every position of every sequence counts once.
class HeadMeans final : public model::Observer {
 public:
  explicit HeadMeans(const ModelShape& shape);

  void on_layer(const model::LayerView& view) override;

  // Float32 [head_dim] on the device of the passes. std::logic_error before the first pass.
  [[nodiscard]] at::Tensor mean(const HeadId& head) const;

 private:
  std::vector<at::Tensor> sums_;  // per layer [num_query_heads, head_dim] float64
  std::vector<int64_t> counts_;   // per layer: positions summed
};

}  // namespace headscope::profiler
