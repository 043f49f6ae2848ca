// Do two measurements put the heads in the same order?
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headscope::analysis {

// Spearman's rank correlation, -1..1; equal values share their mean rank. Pairs with a NaN are left
// out. NaN where fewer than two pairs are left or one side is constant.
[[nodiscard]] double spearman(const std::vector<double>& a, const std::vector<double>& b);

// Overlap of top_k(a, k) and top_k(b, k): |both| / |either|, 0..1; NaN where both are empty.
[[nodiscard]] double top_k_jaccard(const std::vector<double>& a,
                                   const std::vector<double>& b,
                                   int64_t k);

// Indices of the k highest entries, ascending; fewer where fewer are numbers. Equal values are
// ordered by index; NaN never belongs to the top. k >= 1, else std::invalid_argument.
[[nodiscard]] std::vector<size_t> top_k(const std::vector<double>& values, int64_t k);

// How many entries a share of them is, rounded, at least 1. share in (0, 1], else
// std::invalid_argument.
[[nodiscard]] int64_t top_count(int64_t num_entries, double share);

}  // namespace headscope::analysis
