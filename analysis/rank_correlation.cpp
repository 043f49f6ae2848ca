#include "analysis/rank_correlation.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>

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

std::vector<size_t> top_k(const std::vector<double>& values, int64_t k) {
  if (k < 1) {
    throw std::invalid_argument("top_k: expected k >= 1");
  }
  std::vector<size_t> top = descending_order(values);
  top.resize(std::min(top.size(), static_cast<size_t>(k)));
  std::sort(top.begin(), top.end());
  return top;
}

int64_t top_count(int64_t num_entries, double share) {
  if (!(share > 0.0 && share <= 1.0)) {
    throw std::invalid_argument("top_count: expected a share above 0, at most 1");
  }
  return std::max<int64_t>(1, std::llround(share * static_cast<double>(num_entries)));
}

double top_k_jaccard(const std::vector<double>& a, const std::vector<double>& b, int64_t k) {
  check_same_size(a, b);
  const std::vector<size_t> top_a = top_k(a, k);
  const std::vector<size_t> top_b = top_k(b, k);
  std::vector<size_t> both;
  std::set_intersection(top_a.begin(), top_a.end(), top_b.begin(), top_b.end(),
                        std::back_inserter(both));
  const size_t either = top_a.size() + top_b.size() - both.size();
  return either == 0 ? kNaN : static_cast<double>(both.size()) / static_cast<double>(either);
}

}  // namespace headscope::analysis
