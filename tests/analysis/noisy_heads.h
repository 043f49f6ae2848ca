// Made-up samples of heads whose true scores are known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

// Sum of twelve uniform draws: near enough to a normal variable with variance 1.
inline double near_normal(std::mt19937_64& random) {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) {
    sum += static_cast<double>(random() >> 11) * 0x1.0p-53;
  }
  return sum;
}

struct NoisyHeads {
  std::vector<double> levels;  // true score per head
  int64_t num_clusters = 40;   // of two probes each
  double cluster_noise = 0.1;  // shared by a cluster's two probes
  double probe_noise = 0.1;
  std::string family = "number";
  uint64_t seed = 0;
};

inline ProbeSamples noisy_heads(const NoisyHeads& made) {
  std::mt19937_64 random(made.seed);
  ProbeSamples samples;
  samples.num_heads = static_cast<int64_t>(made.levels.size());
  for (int64_t cluster = 0; cluster < made.num_clusters; ++cluster) {
    std::vector<double> of_cluster;
    for (const double level : made.levels) {
      of_cluster.push_back(level + made.cluster_noise * near_normal(random));
    }
    for (int probe = 0; probe < 2; ++probe) {
      for (const double level : of_cluster) {
        samples.values.push_back(
            static_cast<float>(level + made.probe_noise * near_normal(random)));
      }
      samples.clusters.push_back(made.family + std::to_string(cluster));
      samples.families.push_back(made.family);
    }
  }
  return samples;
}

// The probes of both, one after the other in turn.
inline ProbeSamples interleaved(const ProbeSamples& a, const ProbeSamples& b) {
  ProbeSamples both;
  both.num_heads = a.num_heads;
  const auto take = [&](const ProbeSamples& from, int64_t probe) {
    if (probe >= from.num_probes()) return;
    const auto row = from.values.begin() + probe * from.num_heads;
    both.values.insert(both.values.end(), row, row + from.num_heads);
    both.clusters.push_back(from.clusters[static_cast<size_t>(probe)]);
    both.families.push_back(from.families[static_cast<size_t>(probe)]);
  };
  for (int64_t probe = 0; probe < std::max(a.num_probes(), b.num_probes()); ++probe) {
    take(a, probe);
    take(b, probe);
  }
  return both;
}

// Levels of `count` heads: a few high ones, the rest falling off as real scores do.
inline std::vector<double> falling_levels(int64_t count) {
  std::vector<double> levels;
  for (int64_t head = 0; head < count; ++head) {
    levels.push_back(1.0 / (1.0 + 0.1 * static_cast<double>(head)));
  }
  return levels;
}

}  // namespace headscope::analysis
