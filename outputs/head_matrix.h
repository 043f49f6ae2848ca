// A number per head: [num_layers, num_heads], row-major. Heads are query heads or KV heads as the
// owner says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headscope {

struct HeadMatrix {
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  std::vector<double> values;  // NaN = not measured

  HeadMatrix() = default;
  HeadMatrix(int64_t layers, int64_t heads, double fill = 0.0)
      : num_layers(layers), num_heads(heads), values(static_cast<size_t>(layers * heads), fill) {}

  [[nodiscard]] double& at(int64_t layer, int64_t head) {
    return values.at(static_cast<size_t>(layer * num_heads + head));
  }
  [[nodiscard]] double at(int64_t layer, int64_t head) const {
    return values.at(static_cast<size_t>(layer * num_heads + head));
  }
};

}  // namespace headscope
