// Reads the attention of the answer's rows while the model runs: from each layer's queries and the
// cache's keys to a few numbers per head. No attention matrix is made, no query or key outlives its
// layer. Only what the scores of the run need is computed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/ops.h"
#include "model/observer.h"
#include "outputs/model_shape.h"
#include "profiler/head_scorer.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

// All keys of the observed sequence in a layer, its pass's own included: [Hkv, S, d].
using KeysOfLayer = std::function<at::Tensor(int64_t layer)>;

class AnswerCapture final : public model::Observer {
 public:
  // `keys` are those of the cache that the observed passes run on. The scores outlive the capture.
  AnswerCapture(const ModelShape& shape, KeysOfLayer keys, const ScorerSet& scorers);
  // `cache` holds one sequence and outlives the capture.
  AnswerCapture(const ModelShape& shape,
                const runtime::FullKvCache& cache,
                const ScorerSet& scorers);

  // Spans of the probe to come, and what the scores need of it.
  void watch(const Probe& probe);

  // One sequence per pass; replaces what the previous pass left.
  void on_layer(const model::LayerView& view) override;

  // Row `row` of the last pass, which emitted `token`. std::logic_error before a whole pass.
  [[nodiscard]] HeadReading reading(int64_t row, int64_t token);

 private:
  void read_rows(const model::LayerView& view);
  void mark_unreadable(const model::LayerView& view);
  void gather();

  ModelShape shape_;
  KeysOfLayer keys_;
  const ScorerSet& scorers_;
  std::vector<kernels::KeySpan> spans_;  // the needle's, then the answer's, then the sink tokens
  int64_t num_needle_spans_ = 0;
  int64_t num_answer_spans_ = 0;
  int64_t top_n_ = 0;  // of the probe
  bool ends_ = false;  // of the run
  // Of the last pass: per layer on the model's device, then all layers on the host. The masses are
  // needle, answer and, with ends_, sink and recent.
  std::vector<at::Tensor> layer_mass_;      // [Hq, n, 2 or 4] float32
  std::vector<at::Tensor> layer_weight_;    // [Hq, n, top_n] float32
  std::vector<at::Tensor> layer_position_;  // [Hq, n, top_n] int64
  at::Tensor mass_;      // [n, 2 or 4, L * Hq] float32; undefined = not gathered yet
  at::Tensor weight_;    // [n, L * Hq, top_n] float32
  at::Tensor position_;  // [n, L * Hq, top_n] int64
};

}  // namespace headscope::profiler
