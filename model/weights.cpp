#include "model/weights.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace headscope::model {

std::vector<int64_t> sample_positions(int64_t num_values, int64_t count) {
  std::vector<int64_t> positions;
  if (num_values <= count) {
    positions.resize(static_cast<size_t>(std::max<int64_t>(num_values, 0)));
    std::iota(positions.begin(), positions.end(), int64_t{0});
    return positions;
  }
  for (int64_t i = 0; i < count; ++i) {
    positions.push_back(count == 1 ? 0 : i * (num_values - 1) / (count - 1));
  }
  return positions;
}

int64_t num_values_of(const TensorInfo& info) {
  return std::accumulate(info.dims.begin(), info.dims.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace headscope::model
