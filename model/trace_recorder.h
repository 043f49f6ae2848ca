// Keeps what an observer sees of chosen layers, for `headscope trace`: float32 on the CPU, the
// passes of a chunked prefill joined.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "model/observer.h"

namespace headscope::model {

enum class WatchPoint { kQ, kK, kV, kZ };

class TraceRecorder : public Observer {
 public:
  // An empty set of layers means all.
  TraceRecorder(std::set<WatchPoint> points, std::set<int64_t> layers);

  // std::invalid_argument for a batch of more than one sequence.
  void on_layer(const LayerView& view) override;

  // [num_tokens, heads, head_dim] float32, contiguous; q and k after rotary embedding. Undefined
  // for what was not watched.
  [[nodiscard]] at::Tensor recorded(int64_t layer, WatchPoint point) const;

  // Layers that were seen and wanted, ascending.
  [[nodiscard]] std::vector<int64_t> layers() const;

 private:
  std::set<WatchPoint> points_;
  std::set<int64_t> wanted_layers_;
  std::map<std::pair<int64_t, WatchPoint>, std::vector<at::Tensor>> passes_;
};

}  // namespace headscope::model
