#include "model/head_mask.h"

#include <ATen/ATen.h>

#include <set>
#include <stdexcept>
#include <string>

namespace headscope::model {
namespace {

void check_head(const MaskedHead& masked, const ModelShape& shape) {
  const HeadId& head = masked.head;
  if (head.layer < 0 || head.layer >= shape.num_layers || head.head < 0 ||
      head.head >= shape.num_query_heads) {
    throw std::invalid_argument("HeadMask: expected heads of " + std::to_string(shape.num_layers) +
                                " layers with " + std::to_string(shape.num_query_heads) +
                                " query heads, found " + head_name(head));
  }
  const at::Tensor& replacement = masked.replacement;
  if (replacement.defined() && (replacement.dim() != 1 || replacement.size(0) != shape.head_dim ||
                                !replacement.is_floating_point())) {
    throw std::invalid_argument("HeadMask: expected " + std::to_string(shape.head_dim) +
                                " numbers in place of head " + head_name(head) +
                                ", found another shape or type");
  }
}

}  // namespace

HeadMask::HeadMask(const ModelShape& shape,
                   at::ScalarType dtype,
                   at::Device device,
                   const std::vector<MaskedHead>& heads)
    : num_query_heads_(shape.num_query_heads),
      head_dim_(shape.head_dim),
      layers_(static_cast<size_t>(shape.num_layers)) {
  std::set<HeadId> seen;
  std::vector<std::vector<int64_t>> indices(layers_.size());
  std::vector<std::vector<at::Tensor>> rows(layers_.size());
  const at::TensorOptions options = at::TensorOptions().dtype(dtype).device(device);
  for (const MaskedHead& masked : heads) {
    check_head(masked, shape);
    if (!seen.insert(masked.head).second) {
      throw std::invalid_argument("HeadMask: head " + head_name(masked.head) + " is given twice");
    }
    const auto layer = static_cast<size_t>(masked.head.layer);
    indices[layer].push_back(masked.head.head);
    rows[layer].push_back(masked.replacement.defined() ? masked.replacement.to(options)
                                                       : at::zeros({head_dim_}, options));
  }
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (indices[layer].empty()) continue;
    const auto count = static_cast<int64_t>(indices[layer].size());
    layers_[layer] = {at::tensor(indices[layer], at::kLong).to(device),
                      at::stack(rows[layer]).view({1, count, 1, head_dim_})};
  }
}

at::Tensor HeadMask::apply(int64_t layer, const at::Tensor& z) const {
  const Layer& masked = layers_.at(static_cast<size_t>(layer));
  if (!masked.heads.defined()) return z;
  if (z.dim() != 4 || z.size(1) != num_query_heads_ || z.size(3) != head_dim_ ||
      z.scalar_type() != masked.replacements.scalar_type() ||
      z.device() != masked.replacements.device()) {
    throw std::invalid_argument("HeadMask: made for z of " + std::to_string(num_query_heads_) +
                                " heads of " + std::to_string(head_dim_) + " numbers in " +
                                c10::toString(masked.replacements.scalar_type()) + " on " +
                                masked.replacements.device().str() + ", found another z");
  }
  return z.index_copy(
      1, masked.heads,
      masked.replacements.expand({z.size(0), masked.heads.size(0), z.size(2), head_dim_}));
}

}  // namespace headscope::model
