#include "analysis/selector_heads.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace headscope::analysis {
namespace {

MeanInterval interval_of(const HeadSamples& samples,
                         int64_t layer,
                         int64_t head,
                         const BootstrapOptions& options) {
  const auto stride = static_cast<size_t>(samples.num_layers * samples.num_query_heads);
  std::vector<double> values;
  for (size_t i = static_cast<size_t>(layer * samples.num_query_heads + head);
       i < samples.values.size(); i += stride) {
    values.push_back(static_cast<double>(samples.values[i]));
  }
  return bootstrap_mean(values, options, samples.clusters);
}

std::string list_of(const std::vector<int64_t>& layers) {
  std::string text;
  for (const int64_t layer : layers) text += (text.empty() ? "" : ", ") + std::to_string(layer);
  return text;
}

}  // namespace

SelectorHeads heads_above(const HeadSamples& samples, const SelectorOptions& options) {
  const auto stride = static_cast<size_t>(samples.num_layers * samples.num_query_heads);
  if (stride == 0 || samples.values.size() != stride * samples.clusters.size()) {
    throw std::invalid_argument("heads_above: expected a value per probe, layer and head");
  }
  SelectorHeads chosen;
  std::vector<int64_t> without;
  for (int64_t layer = 0; layer < samples.num_layers; ++layer) {
    std::vector<double> means;
    std::vector<int64_t> heads;
    for (int64_t head = 0; head < samples.num_query_heads; ++head) {
      const MeanInterval interval = interval_of(samples, layer, head, options.bootstrap);
      means.push_back(std::isnan(interval.mean) ? -std::numeric_limits<double>::infinity()
                                                : interval.mean);
      if (interval.low > options.threshold) heads.push_back(head);
    }
    if (heads.empty()) {
      without.push_back(layer);
      heads.resize(means.size());
      std::iota(heads.begin(), heads.end(), int64_t{0});
    }
    std::stable_sort(heads.begin(), heads.end(), [&](int64_t a, int64_t b) {
      return means[static_cast<size_t>(a)] > means[static_cast<size_t>(b)];
    });
    chosen.heads.push_back(std::move(heads));
  }
  if (!without.empty()) {
    chosen.notes.push_back("no head's score is surely above " + std::to_string(options.threshold) +
                           " in layers " + list_of(without) +
                           ": all of their heads choose the keys");
  }
  return chosen;
}

}  // namespace headscope::analysis
