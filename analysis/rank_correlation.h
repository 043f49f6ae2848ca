// Do two measurements put the heads in the same order? And would the same measurement, repeated?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace headscope::analysis {

// Spearman's rank correlation, -1..1; equal values share their mean rank. Pairs with a NaN are left
// out. NaN where fewer than two pairs are left or one side is constant.
[[nodiscard]] double spearman(const std::vector<double>& a, const std::vector<double>& b);

// Overlap of the k highest entries of a and of b: |both| / |either|, 0..1. Equal values are ordered
// by index; NaN never belongs to the top. k >= 1, else std::invalid_argument.
[[nodiscard]] double top_k_jaccard(const std::vector<double>& a,
                                   const std::vector<double>& b,
                                   int64_t k);

struct SplitHalfOptions {
  int64_t num_splits = 50;    // random halvings, >= 1
  double top_fraction = 0.1;  // of the heads, for the overlap; in (0, 1]
  uint64_t seed = 0;
};

struct SplitHalf {
  double spearman = 0.0;       // mean over halvings, of the two halves' mean scores
  double spearman_full = 0.0;  // Spearman-Brown: what two measurements of the full size would give
  double top_jaccard = 0.0;    // mean over halvings
  int64_t num_probes = 0;      // probes with at least one number
  int64_t num_clusters = 0;
};

// samples [num_probes, num_heads] row-major, NaN = not counted. `clusters` is empty or names every
// probe's cluster; a cluster is never split. All numbers are NaN where there are fewer than two
// clusters that counted.
[[nodiscard]] SplitHalf split_half(const std::vector<float>& samples,
                                   int64_t num_probes,
                                   int64_t num_heads,
                                   const SplitHalfOptions& options = {},
                                   const std::vector<std::string>& clusters = {});

}  // namespace headscope::analysis
