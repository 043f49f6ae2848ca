// Reads the attention of the answer's rows while the model runs: from each
// layer's queries and the cache's keys to a few numbers per head. No attention
// matrix is made, no query or key outlives its layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "model/observer.h"
#include "outputs/model_shape.h"
#include "profiler/head_scorer.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

class AnswerCapture final : public model::Observer {
 public:
  // `cache` is the one the observed passes run on and outlives the capture.
  AnswerCapture(const ModelShape& shape, const runtime::FullKvCache& cache, bool top_position);

  // Spans of the probe to come.
  void watch(const Probe& probe);

  // One sequence per pass; replaces what the previous pass left.
  void on_layer(const model::LayerView& view) override;

  // Row `row` of the last pass, which emitted `token`.
  [[nodiscard]] HeadReading reading(int64_t row, int64_t token);

 private:
  void gather();

  ModelShape shape_;
  const runtime::FullKvCache& cache_;
  bool top_position_ = false;
  std::vector<kernels::KeySpan> spans_;  // the needle's, then the answer's
  int64_t num_needle_spans_ = 0;
  // Of the last pass: per layer on the model's device, then all layers on the
  // host.
  std::vector<at::Tensor> layer_mass_;      // [Hq, n, 2] float32
  std::vector<at::Tensor> layer_position_;  // [Hq, n] int64
  at::Tensor mass_;                         // [n, 2, L * Hq] float32; undefined = not gathered yet
  at::Tensor position_;                     // [n, L * Hq] int64
};

}  // namespace headscope::profiler
