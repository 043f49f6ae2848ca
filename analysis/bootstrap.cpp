#include "analysis/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>

namespace headscope::analysis {
namespace {

struct Cluster {
  double sum = 0.0;
  int64_t count = 0;
};

std::vector<Cluster> gather_clusters(const std::vector<double>& values,
                                     const std::vector<std::string>& names) {
  std::vector<Cluster> clusters;
  std::map<std::string, size_t> index_of;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      continue;
    }
    size_t index = clusters.size();
    if (!names.empty()) {
      index = index_of.try_emplace(names[i], clusters.size()).first->second;
    }
    if (index == clusters.size()) {
      clusters.push_back({});
    }
    clusters[index].sum += values[i];
    clusters[index].count += 1;
  }
  return clusters;
}

// The q-quantile of sorted values, linear between neighbours.
double quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(std::floor(position));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = position - static_cast<double>(below);
  return sorted[below] + share * (sorted[above] - sorted[below]);
}

// Standard distributions differ between libraries; raw draws do not. The bias of the remainder is
// below 2^-40 for any number of clusters that fits in memory.
double resampled_mean(const std::vector<Cluster>& clusters, std::mt19937_64& random) {
  Cluster total;
  for (size_t draw = 0; draw < clusters.size(); ++draw) {
    const Cluster& cluster = clusters[random() % clusters.size()];
    total.sum += cluster.sum;
    total.count += cluster.count;
  }
  return total.sum / static_cast<double>(total.count);
}

void check_arguments(const std::vector<double>& values,
                     const BootstrapOptions& options,
                     const std::vector<std::string>& clusters) {
  if (options.num_resamples < 1) {
    throw std::invalid_argument("bootstrap_mean: expected num_resamples >= 1");
  }
  if (!(options.confidence > 0.0 && options.confidence < 1.0)) {
    throw std::invalid_argument("bootstrap_mean: expected a confidence between 0 and 1");
  }
  if (!clusters.empty() && clusters.size() != values.size()) {
    throw std::invalid_argument("bootstrap_mean: expected one cluster name per value");
  }
}

}  // namespace

MeanInterval bootstrap_mean(const std::vector<double>& values,
                            const BootstrapOptions& options,
                            const std::vector<std::string>& clusters) {
  check_arguments(values, options, clusters);
  const std::vector<Cluster> gathered = gather_clusters(values, clusters);
  if (gathered.empty()) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    return {kNone, kNone, kNone, 0, 0};
  }
  Cluster all;
  for (const Cluster& cluster : gathered) {
    all.sum += cluster.sum;
    all.count += cluster.count;
  }
  MeanInterval interval;
  interval.mean = all.sum / static_cast<double>(all.count);
  interval.num_samples = all.count;
  interval.num_clusters = static_cast<int64_t>(gathered.size());

  std::mt19937_64 random(options.seed);
  std::vector<double> means(static_cast<size_t>(options.num_resamples));
  for (double& mean : means) {
    mean = resampled_mean(gathered, random);
  }
  std::sort(means.begin(), means.end());
  const double tail = (1.0 - options.confidence) / 2.0;
  // With very few resamples the percentiles may miss the mean itself.
  interval.low = std::min(quantile(means, tail), interval.mean);
  interval.high = std::max(quantile(means, 1.0 - tail), interval.mean);
  return interval;
}

}  // namespace headscope::analysis
