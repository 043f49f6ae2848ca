// How far a mean can be trusted: percentile bootstrap (Efron 1979), over samples or over clusters
// of samples that are not independent (probes of one needle).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

struct BootstrapOptions {
  int64_t num_resamples = 1000;  // >= 1
  double confidence = 0.95;      // in (0, 1)
  uint64_t seed = 0;
};

struct MeanInterval {
  double mean = 0.0;
  double low = 0.0;  // low <= mean <= high
  double high = 0.0;
  int64_t num_samples = 0;
  int64_t num_clusters = 0;  // = num_samples without clusters
};

// Confidence interval of the mean of `values`; NaN values are left out. `clusters` is empty or
// names the cluster of every value: clusters are then resampled whole. The same input and seed give
// the same interval on every platform. All three numbers are NaN where nothing is left to average.
// std::invalid_argument where sizes disagree or an option is out of range.
[[nodiscard]] MeanInterval bootstrap_mean(const std::vector<double>& values,
                                          const BootstrapOptions& options = {},
                                          const std::vector<std::string>& clusters = {});

// One interval per head, [num_heads]; NaN where nothing was measured.
struct HeadIntervals {
  std::vector<double> mean;
  std::vector<double> low;  // low <= mean <= high
  std::vector<double> high;
  int64_t num_probes = 0;    // that counted
  int64_t num_clusters = 0;  // of one, nothing can be said: low = mean = high
};

// Confidence interval of every head's mixed_mean(): clusters are resampled whole within their
// family, the same draw for all heads. Deterministic as bootstrap_mean().
[[nodiscard]] HeadIntervals bootstrap_heads(const ProbeSamples& samples,
                                            const FamilyMix& mix = {},
                                            const BootstrapOptions& options = {});

}  // namespace headscope::analysis
