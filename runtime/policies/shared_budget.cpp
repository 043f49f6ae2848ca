#include "runtime/policies/shared_budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace headscope::runtime {

SharedBudget share_budget(std::span<const LayerEvidence> layers) {
  SharedBudget shared;
  int64_t num_heads = 0;
  int64_t fewest_keys = layers.front().k.size(2);
  for (const LayerEvidence& layer : layers) {
    fewest_keys = std::min(fewest_keys, layer.k.size(2));
    for (const int64_t budget : layer.budget_tokens) {
      shared.total += std::min(budget, layer.k.size(2));
      ++num_heads;
    }
  }
  const int64_t mean = shared.total / num_heads;
  shared.rows = std::min(
      {layers.front().selection.observation_window, std::max<int64_t>(1, mean / 2), fewest_keys});
  shared.recent = std::min(shared.rows, mean);
  return shared;
}

std::vector<int64_t> to_whole_tokens(const std::vector<double>& shares, int64_t total) {
  std::vector<int64_t> whole(shares.size());
  std::vector<double> fraction(shares.size());
  for (size_t i = 0; i < shares.size(); ++i) {
    whole[i] = static_cast<int64_t>(std::floor(shares[i]));
    fraction[i] = shares[i] - std::floor(shares[i]);
  }
  std::vector<size_t> order(shares.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return fraction[a] > fraction[b]; });
  const int64_t left = total - std::accumulate(whole.begin(), whole.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++whole[order[static_cast<size_t>(i) % order.size()]];
  return whole;
}

}  // namespace headscope::runtime
