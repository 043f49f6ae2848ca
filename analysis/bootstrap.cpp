#include "analysis/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <utility>

#include "analysis/clustered_scores.h"

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

double resampled_mean(const std::vector<Cluster>& clusters, std::mt19937_64& random) {
  Cluster total;
  for (size_t draw = 0; draw < clusters.size(); ++draw) {
    const Cluster& cluster = clusters[draw_below(clusters.size(), random)];
    total.sum += cluster.sum;
    total.count += cluster.count;
  }
  return total.sum / static_cast<double>(total.count);
}

void check_options(const BootstrapOptions& options) {
  if (options.num_resamples < 1) {
    throw std::invalid_argument("bootstrap: expected num_resamples >= 1");
  }
  if (!(options.confidence > 0.0 && options.confidence < 1.0)) {
    throw std::invalid_argument("bootstrap: expected a confidence between 0 and 1");
  }
}

struct Bounds {
  double low = 0.0;
  double high = 0.0;
};

// Percentiles of resampled means around `mean`, which very few resamples may miss.
Bounds percentiles(std::vector<double> resampled, double mean, double confidence) {
  std::sort(resampled.begin(), resampled.end());
  const double tail = (1.0 - confidence) / 2.0;
  return {std::min(quantile(resampled, tail), mean),
          std::max(quantile(resampled, 1.0 - tail), mean)};
}

}  // namespace

MeanInterval bootstrap_mean(const std::vector<double>& values,
                            const BootstrapOptions& options,
                            const std::vector<std::string>& clusters) {
  check_options(options);
  if (!clusters.empty() && clusters.size() != values.size()) {
    throw std::invalid_argument("bootstrap_mean: expected one cluster name per value");
  }
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
  const Bounds bounds = percentiles(std::move(means), interval.mean, options.confidence);
  interval.low = bounds.low;
  interval.high = bounds.high;
  return interval;
}

HeadIntervals bootstrap_heads(const ProbeSamples& samples,
                              const FamilyMix& mix,
                              const BootstrapOptions& options) {
  check_options(options);
  const ClusteredScores scores(samples, mix);
  const auto heads = static_cast<size_t>(samples.num_heads);
  HeadIntervals intervals;
  intervals.num_probes = scores.num_probes();
  intervals.num_clusters = scores.num_clusters();
  intervals.mean = scores.mean(scores.all());
  intervals.low = intervals.high = intervals.mean;
  if (intervals.num_clusters == 0) return intervals;

  // One resample serves all heads, so that memory access stays in rows.
  std::mt19937_64 random(options.seed);
  std::vector<std::vector<double>> resampled(heads);
  ClusterDraw draw = scores.all();
  for (int64_t i = 0; i < options.num_resamples; ++i) {
    for (size_t family = 0; family < draw.size(); ++family) {
      for (size_t& cluster : draw[family]) {
        cluster = draw_below(scores.num_clusters(family), random);
      }
    }
    const std::vector<double> means = scores.mean(draw);
    for (size_t head = 0; head < heads; ++head) {
      if (!std::isnan(means[head])) resampled[head].push_back(means[head]);
    }
  }
  for (size_t head = 0; head < heads; ++head) {
    if (std::isnan(intervals.mean[head]) || resampled[head].empty()) continue;
    const Bounds bounds =
        percentiles(std::move(resampled[head]), intervals.mean[head], options.confidence);
    intervals.low[head] = bounds.low;
    intervals.high[head] = bounds.high;
  }
  return intervals;
}

}  // namespace headscope::analysis
