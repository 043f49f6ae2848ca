#include "analysis/head_ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace headscope::analysis {
namespace {

// Strict weak order: higher first, NaN after every number, else equal.
bool scores_higher(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) {
    return !std::isnan(a) && std::isnan(b);
  }
  return a > b;
}

}  // namespace

std::vector<RankedHead> rank_heads(const HeadMatrix& scores) {
  std::vector<RankedHead> heads;
  heads.reserve(scores.values.size());
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t head = 0; head < scores.num_heads; ++head) {
      heads.push_back({{layer, head}, scores.at(layer, head)});
    }
  }
  // Stable: equal scores stay in the order of (layer, head).
  std::stable_sort(heads.begin(), heads.end(), [](const RankedHead& a, const RankedHead& b) {
    return scores_higher(a.score, b.score);
  });
  return heads;
}

std::vector<std::vector<int64_t>> rank_heads_per_layer(const HeadMatrix& scores) {
  std::vector<std::vector<int64_t>> ranked;
  ranked.reserve(static_cast<size_t>(scores.num_layers));
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    std::vector<int64_t> heads(static_cast<size_t>(scores.num_heads));
    std::iota(heads.begin(), heads.end(), int64_t{0});
    std::stable_sort(heads.begin(), heads.end(), [&](int64_t a, int64_t b) {
      return scores_higher(scores.at(layer, a), scores.at(layer, b));
    });
    ranked.push_back(std::move(heads));
  }
  return ranked;
}

std::vector<std::vector<int64_t>> top_heads_per_layer(const HeadMatrix& scores, int64_t k) {
  if (k < 1 || k > scores.num_heads) {
    throw std::invalid_argument("top_heads_per_layer: expected k in 1.." +
                                std::to_string(scores.num_heads) + ", found " + std::to_string(k));
  }
  std::vector<std::vector<int64_t>> top = rank_heads_per_layer(scores);
  for (std::vector<int64_t>& heads : top) {
    heads.resize(static_cast<size_t>(k));
  }
  return top;
}

}  // namespace headscope::analysis
