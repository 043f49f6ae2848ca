// Probe samples summed up by cluster: what every resampling statistic draws from. Internal to
// analysis/: callers have probe_samples.h and the statistics.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

// Clusters by family: draw[f] lists cluster indices of family f; one may stand there several times.
using ClusterDraw = std::vector<std::vector<size_t>>;

class ClusteredScores {
 public:
  // Probes without any number are left out, as are families that the mix gives no weight.
  ClusteredScores(const ProbeSamples& samples, const FamilyMix& mix);

  [[nodiscard]] int64_t num_heads() const { return num_heads_; }
  [[nodiscard]] int64_t num_probes() const;
  [[nodiscard]] int64_t num_clusters() const;
  [[nodiscard]] size_t num_families() const { return families_.size(); }
  [[nodiscard]] const std::string& family(size_t index) const { return families_[index].name; }
  [[nodiscard]] size_t num_clusters(size_t family) const {
    return families_[family].clusters.size();
  }
  [[nodiscard]] int64_t probes_of(size_t family, size_t cluster) const {
    return families_[family].clusters[cluster].num_probes;
  }

  // Every cluster once.
  [[nodiscard]] ClusterDraw all() const;

  // Score of every head over the drawn clusters: the mean over their probes within each family,
  // then the weighted mean over families. NaN where no family has a number.
  [[nodiscard]] std::vector<double> mean(const ClusterDraw& draw) const;

 private:
  // Weighs the families and drops those of weight 0; none named, all stay equal.
  void apply(const FamilyMix& mix);

  struct Cluster {
    int64_t num_probes = 0;
    std::vector<double> sum;    // [num_heads]
    std::vector<double> count;  // [num_heads]; double, so that adding up stays one type
  };
  struct Family {
    std::string name;
    double weight = 1.0;
    std::vector<Cluster> clusters;
  };

  int64_t num_heads_;
  std::vector<Family> families_;  // in order of first appearance, as are clusters
};

// Draws 0 .. bound - 1. Standard distributions differ between libraries; raw draws do not. The bias
// of the remainder is below 2^-40 for any bound that fits in memory.
[[nodiscard]] inline size_t draw_below(size_t bound, std::mt19937_64& random) {
  return static_cast<size_t>(random() % bound);
}

// The q-quantile of ascending values, linear between neighbours. values not empty.
[[nodiscard]] double quantile(const std::vector<double>& ascending, double q);

}  // namespace headscope::analysis
