#include "model/trace_recorder.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace headscope::model {
namespace {

const at::Tensor& at_point(const LayerView& view, WatchPoint point) {
  switch (point) {
    case WatchPoint::kQ:
      return view.q;
    case WatchPoint::kK:
      return view.k;
    case WatchPoint::kV:
      return view.v;
    case WatchPoint::kZ:
      break;
  }
  return view.z;
}

}  // namespace

TraceRecorder::TraceRecorder(std::set<WatchPoint> points, std::set<int64_t> layers)
    : points_(std::move(points)), wanted_layers_(std::move(layers)) {}

void TraceRecorder::on_layer(const LayerView& view) {
  if (!wanted_layers_.empty() && !wanted_layers_.contains(view.layer)) return;
  for (const WatchPoint point : points_) {
    const at::Tensor& seen = at_point(view, point);
    if (seen.size(0) != 1) {
      throw std::invalid_argument("TraceRecorder: one sequence at a time, found a batch of " +
                                  std::to_string(seen.size(0)));
    }
    // A real copy even where dtype and layout agree already: the view dies with the call.
    const at::Tensor by_token = seen.squeeze(0).transpose(0, 1);
    const at::Tensor kept = at::empty(by_token.sizes(), at::TensorOptions().dtype(at::kFloat));
    kept.copy_(by_token);
    passes_[{view.layer, point}].push_back(kept);
  }
}

at::Tensor TraceRecorder::recorded(int64_t layer, WatchPoint point) const {
  const auto it = passes_.find({layer, point});
  if (it == passes_.end()) return {};
  return it->second.size() == 1 ? it->second.front() : at::cat(it->second, /*dim=*/0);
}

std::vector<int64_t> TraceRecorder::layers() const {
  std::set<int64_t> seen;
  for (const auto& [key, passes] : passes_) seen.insert(key.first);
  return {seen.begin(), seen.end()};
}

}  // namespace headscope::model
