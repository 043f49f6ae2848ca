#include "profiler/head_means.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace headscope::profiler {

HeadMeans::HeadMeans(const ModelShape& shape)
    : sums_(static_cast<size_t>(shape.num_layers)), counts_(sums_.size(), 0) {}

void HeadMeans::on_layer(const model::LayerView& view) {
  const auto layer = static_cast<size_t>(view.layer);
  const at::Tensor sum = view.z.to(at::kDouble).sum(at::IntArrayRef{0, 2});
  at::Tensor& total = sums_.at(layer);
  total = total.defined() ? total + sum : sum;
  counts_[layer] += view.z.size(0) * view.z.size(2);
}

at::Tensor HeadMeans::mean(const HeadId& head) const {
  const auto layer = static_cast<size_t>(head.layer);
  if (counts_.at(layer) == 0) throw std::logic_error("HeadMeans: no pass was watched");
  return (sums_[layer][head.head] / counts_[layer]).to(at::kFloat);
}

}  // namespace headscope::profiler
