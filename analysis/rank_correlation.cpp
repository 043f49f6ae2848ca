#include "analysis/rank_correlation.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>

#include "analysis/seeded_shuffle.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Indices of the numbers in `values`, highest first, equal ones by index.
std::vector<size_t> descending_order(const std::vector<double>& values) {
  std::vector<size_t> order;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) {
      order.push_back(i);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] > values[b]; });
  return order;
}

// 1-based; equal values share the mean of the ranks they cover.
Eigen::ArrayXd mean_ranks(const std::vector<double>& values) {
  const std::vector<size_t> order = descending_order(values);
  Eigen::ArrayXd ranks(static_cast<Eigen::Index>(values.size()));
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) {
      ++end;
    }
    const double rank = 0.5 * static_cast<double>(begin + 1 + end);
    for (size_t i = begin; i < end; ++i) {
      ranks[static_cast<Eigen::Index>(order[i])] = rank;
    }
    begin = end;
  }
  return ranks;
}

void check_same_size(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) {
    throw std::invalid_argument("rank correlation: expected two lists of one length");
  }
}

// Probes with at least one number, grouped by cluster.
std::vector<std::vector<int64_t>> counted_clusters(const std::vector<float>& samples,
                                                   int64_t num_probes,
                                                   int64_t num_heads,
                                                   const std::vector<std::string>& names) {
  std::vector<std::vector<int64_t>> clusters;
  std::map<std::string, size_t> index_of;
  for (int64_t probe = 0; probe < num_probes; ++probe) {
    const auto first = samples.begin() + probe * num_heads;
    if (std::all_of(first, first + num_heads, [](float x) { return std::isnan(x); })) {
      continue;
    }
    size_t index = clusters.size();
    if (!names.empty()) {
      index = index_of.try_emplace(names[static_cast<size_t>(probe)], index).first->second;
    }
    if (index == clusters.size()) {
      clusters.emplace_back();
    }
    clusters[index].push_back(probe);
  }
  return clusters;
}

using ClusterIterator = std::vector<std::vector<int64_t>>::const_iterator;

// Mean score of every head over the probes of some clusters; NaN where none counted.
std::vector<double> mean_scores(const std::vector<float>& samples,
                                int64_t num_heads,
                                ClusterIterator begin,
                                ClusterIterator end) {
  std::vector<double> sums(static_cast<size_t>(num_heads), 0.0);
  std::vector<int64_t> counts(static_cast<size_t>(num_heads), 0);
  for (ClusterIterator cluster = begin; cluster != end; ++cluster) {
    for (const int64_t probe : *cluster) {
      for (int64_t head = 0; head < num_heads; ++head) {
        const float value = samples[static_cast<size_t>(probe * num_heads + head)];
        if (!std::isnan(value)) {
          sums[static_cast<size_t>(head)] += static_cast<double>(value);
          counts[static_cast<size_t>(head)] += 1;
        }
      }
    }
  }
  for (size_t head = 0; head < sums.size(); ++head) {
    sums[head] = counts[head] == 0 ? kNaN : sums[head] / static_cast<double>(counts[head]);
  }
  return sums;
}

void check_split(const std::vector<float>& samples,
                 int64_t num_probes,
                 int64_t num_heads,
                 const SplitHalfOptions& options,
                 const std::vector<std::string>& clusters) {
  if (num_probes < 0 || num_heads < 1 ||
      samples.size() != static_cast<size_t>(num_probes * num_heads)) {
    throw std::invalid_argument("split_half: expected samples [num_probes, num_heads]");
  }
  if (!clusters.empty() && clusters.size() != static_cast<size_t>(num_probes)) {
    throw std::invalid_argument("split_half: expected one cluster name per probe");
  }
  if (options.num_splits < 1 || !(options.top_fraction > 0.0 && options.top_fraction <= 1.0)) {
    throw std::invalid_argument("split_half: option out of range");
  }
}

}  // namespace

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  check_same_size(a, b);
  std::vector<double> x;
  std::vector<double> y;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isnan(a[i]) && !std::isnan(b[i])) {
      x.push_back(a[i]);
      y.push_back(b[i]);
    }
  }
  if (x.size() < 2) {
    return kNaN;
  }
  Eigen::ArrayXd rank_x = mean_ranks(x);
  Eigen::ArrayXd rank_y = mean_ranks(y);
  rank_x -= rank_x.mean();
  rank_y -= rank_y.mean();
  const double scale = std::sqrt(rank_x.square().sum() * rank_y.square().sum());
  return scale > 0.0 ? (rank_x * rank_y).sum() / scale : kNaN;
}

double top_k_jaccard(const std::vector<double>& a, const std::vector<double>& b, int64_t k) {
  check_same_size(a, b);
  if (k < 1) {
    throw std::invalid_argument("top_k_jaccard: expected k >= 1");
  }
  std::vector<size_t> top_a = descending_order(a);
  std::vector<size_t> top_b = descending_order(b);
  top_a.resize(std::min(top_a.size(), static_cast<size_t>(k)));
  top_b.resize(std::min(top_b.size(), static_cast<size_t>(k)));
  std::sort(top_a.begin(), top_a.end());
  std::sort(top_b.begin(), top_b.end());
  std::vector<size_t> both;
  std::set_intersection(top_a.begin(), top_a.end(), top_b.begin(), top_b.end(),
                        std::back_inserter(both));
  const size_t either = top_a.size() + top_b.size() - both.size();
  return either == 0 ? kNaN : static_cast<double>(both.size()) / static_cast<double>(either);
}

SplitHalf split_half(const std::vector<float>& samples,
                     int64_t num_probes,
                     int64_t num_heads,
                     const SplitHalfOptions& options,
                     const std::vector<std::string>& clusters) {
  check_split(samples, num_probes, num_heads, options, clusters);
  std::vector<std::vector<int64_t>> counted =
      counted_clusters(samples, num_probes, num_heads, clusters);
  SplitHalf result{kNaN, kNaN, kNaN, 0, static_cast<int64_t>(counted.size())};
  for (const std::vector<int64_t>& cluster : counted) {
    result.num_probes += static_cast<int64_t>(cluster.size());
  }
  if (counted.size() < 2) {
    return result;
  }
  const auto top =
      std::max<int64_t>(1, std::llround(options.top_fraction * static_cast<double>(num_heads)));
  const auto middle = static_cast<std::ptrdiff_t>(counted.size() / 2);
  std::mt19937_64 random(options.seed);
  double sum_spearman = 0.0;
  double sum_jaccard = 0.0;
  for (int64_t split = 0; split < options.num_splits; ++split) {
    seeded_shuffle(counted, random);
    const auto begin = counted.cbegin();
    const std::vector<double> first = mean_scores(samples, num_heads, begin, begin + middle);
    const std::vector<double> second =
        mean_scores(samples, num_heads, begin + middle, counted.cend());
    sum_spearman += spearman(first, second);
    sum_jaccard += top_k_jaccard(first, second, top);
  }
  const auto splits = static_cast<double>(options.num_splits);
  result.spearman = sum_spearman / splits;
  result.spearman_full = 2.0 * result.spearman / (1.0 + result.spearman);
  result.top_jaccard = sum_jaccard / splits;
  return result;
}

}  // namespace headscope::analysis
