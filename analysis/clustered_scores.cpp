#include "analysis/clustered_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace headscope::analysis {

ClusteredScores::ClusteredScores(const ProbeSamples& samples, const FamilyMix& mix)
    : num_heads_(samples.num_heads) {
  samples.validate();
  const auto heads = static_cast<size_t>(num_heads_);
  std::map<std::string, size_t> family_of;
  std::map<std::pair<size_t, std::string>, size_t> cluster_of;
  for (size_t probe = 0; probe < static_cast<size_t>(samples.num_probes()); ++probe) {
    const float* row = samples.values.data() + probe * heads;
    if (std::all_of(row, row + heads, [](float x) { return std::isnan(x); })) continue;
    const std::string name = samples.families.empty() ? "" : samples.families[probe];
    const size_t f = family_of.try_emplace(name, families_.size()).first->second;
    if (f == families_.size()) families_.push_back({name, 1.0, {}});
    std::vector<Cluster>& clusters = families_[f].clusters;
    const std::string cluster_name =
        samples.clusters.empty() ? std::to_string(probe) : samples.clusters[probe];
    const size_t c = cluster_of.try_emplace({f, cluster_name}, clusters.size()).first->second;
    if (c == clusters.size()) {
      clusters.push_back({0, std::vector<double>(heads, 0.0), std::vector<double>(heads, 0.0)});
    }
    Cluster& cluster = clusters[c];
    cluster.num_probes += 1;
    for (size_t head = 0; head < heads; ++head) {
      if (std::isnan(row[head])) continue;
      cluster.sum[head] += static_cast<double>(row[head]);
      cluster.count[head] += 1.0;
    }
  }
  apply(mix);
}

void ClusteredScores::apply(const FamilyMix& mix) {
  const auto weight_of = [&](const Family& family) {
    const auto weight = mix.find(family.name);
    return weight == mix.end() ? 0.0 : weight->second;
  };
  if (std::all_of(families_.begin(), families_.end(),
                  [&](const Family& family) { return weight_of(family) == 0.0; })) {
    return;
  }
  for (Family& family : families_) family.weight = weight_of(family);
  std::erase_if(families_, [](const Family& family) { return family.weight == 0.0; });
}

int64_t ClusteredScores::num_probes() const {
  int64_t total = 0;
  for (const Family& family : families_) {
    for (const Cluster& cluster : family.clusters) total += cluster.num_probes;
  }
  return total;
}

int64_t ClusteredScores::num_clusters() const {
  return std::accumulate(families_.begin(), families_.end(), int64_t{0},
                         [](int64_t sum, const Family& family) {
                           return sum + static_cast<int64_t>(family.clusters.size());
                         });
}

ClusterDraw ClusteredScores::all() const {
  ClusterDraw draw;
  for (const Family& family : families_) {
    draw.emplace_back(family.clusters.size());
    std::iota(draw.back().begin(), draw.back().end(), size_t{0});
  }
  return draw;
}

std::vector<double> ClusteredScores::mean(const ClusterDraw& draw) const {
  const auto heads = static_cast<size_t>(num_heads_);
  std::vector<double> mixed(heads, 0.0);
  std::vector<double> weights(heads, 0.0);
  std::vector<double> sum(heads);
  std::vector<double> count(heads);
  for (size_t f = 0; f < draw.size(); ++f) {
    const Family& family = families_[f];
    std::fill(sum.begin(), sum.end(), 0.0);
    std::fill(count.begin(), count.end(), 0.0);
    for (const size_t c : draw[f]) {
      const Cluster& cluster = family.clusters[c];
      for (size_t head = 0; head < heads; ++head) {
        sum[head] += cluster.sum[head];
        count[head] += cluster.count[head];
      }
    }
    for (size_t head = 0; head < heads; ++head) {
      if (count[head] == 0.0) continue;
      mixed[head] += family.weight * sum[head] / count[head];
      weights[head] += family.weight;
    }
  }
  for (size_t head = 0; head < heads; ++head) {
    mixed[head] = weights[head] > 0.0 ? mixed[head] / weights[head]
                                      : std::numeric_limits<double>::quiet_NaN();
  }
  return mixed;
}

double quantile(const std::vector<double>& ascending, double q) {
  const double position = q * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(std::floor(position));
  const size_t above = std::min(below + 1, ascending.size() - 1);
  const double share = position - static_cast<double>(below);
  return ascending[below] + share * (ascending[above] - ascending[below]);
}

}  // namespace headscope::analysis
