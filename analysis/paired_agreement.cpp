#include "analysis/paired_agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "analysis/rank_correlation.h"

namespace headscope::analysis {
namespace {

bool counts(const ProbeSamples& samples, size_t probe) {
  const auto heads = static_cast<std::ptrdiff_t>(samples.num_heads);
  const auto row = samples.values.begin() + static_cast<std::ptrdiff_t>(probe) * heads;
  return std::any_of(row, row + heads, [](float value) { return !std::isnan(value); });
}

// The rows for which keep() holds.
template <typename Keep>
ProbeSamples rows_of(const ProbeSamples& samples, const Keep& keep) {
  ProbeSamples kept;
  kept.num_heads = samples.num_heads;
  const auto heads = static_cast<std::ptrdiff_t>(samples.num_heads);
  for (size_t i = 0; i < static_cast<size_t>(samples.num_probes()); ++i) {
    if (!keep(i)) continue;
    const auto row = samples.values.begin() + static_cast<std::ptrdiff_t>(i) * heads;
    kept.values.insert(kept.values.end(), row, row + heads);
    kept.clusters.push_back(samples.clusters[i]);
    kept.families.push_back(samples.families[i]);
  }
  return kept;
}

// Half the width of the 95 % interval.
double jackknife_width(const ProbeSamples& a, const ProbeSamples& b, const FamilyMix& mix) {
  const std::set<std::string> clusters(a.clusters.begin(), a.clusters.end());
  std::vector<double> left_out;
  for (const std::string& cluster : clusters) {
    const auto keep = [&](size_t i) { return a.clusters[i] != cluster; };
    left_out.push_back(
        spearman(mixed_mean(rows_of(a, keep), mix), mixed_mean(rows_of(b, keep), mix)));
  }
  const auto n = static_cast<double>(left_out.size());
  double mean = 0.0, squares = 0.0;
  for (const double value : left_out) mean += value / n;
  for (const double value : left_out) squares += (value - mean) * (value - mean);
  return 1.96 * std::sqrt((n - 1.0) / n * squares);
}

}  // namespace

PairedAgreement paired_agreement(const ProbeSamples& a,
                                 const ProbeSamples& b,
                                 const FamilyMix& mix,
                                 double top_fraction) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  a.validate();
  b.validate();
  if (a.num_heads != b.num_heads || a.clusters != b.clusters || a.families != b.families ||
      a.clusters.empty()) {
    throw std::invalid_argument("paired agreement: expected the same questions on both sides");
  }
  const auto both = [&](size_t i) { return counts(a, i) && counts(b, i); };
  const ProbeSamples x = rows_of(a, both), y = rows_of(b, both);
  PairedAgreement found;
  found.num_pairs = x.num_probes();
  found.num_clusters =
      static_cast<int64_t>(std::set<std::string>(x.clusters.begin(), x.clusters.end()).size());
  if (found.num_pairs == 0) {
    found.spearman = found.low = found.high = found.top_jaccard = kNaN;
    return found;
  }
  const std::vector<double> mean_x = mixed_mean(x, mix), mean_y = mixed_mean(y, mix);
  found.spearman = spearman(mean_x, mean_y);
  found.top_jaccard = top_k_jaccard(mean_x, mean_y, top_count(a.num_heads, top_fraction));
  const double width = found.num_clusters < 3 ? kNaN : jackknife_width(x, y, mix);
  found.low = std::isnan(width) ? kNaN : std::max(-1.0, found.spearman - width);
  found.high = std::isnan(width) ? kNaN : std::min(1.0, found.spearman + width);
  return found;
}

}  // namespace headscope::analysis
