#include "analysis/stability.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

#include "analysis/clustered_scores.h"
#include "analysis/rank_correlation.h"
#include "analysis/seeded_shuffle.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Halving {
  double spearman = 0.0;
  double top_jaccard = 0.0;
  int64_t num_probes = 0;
};

class Halver {
 public:
  Halver(const ProbeSamples& samples, const StabilityOptions& options)
      : scores_(samples, options.mix), options_(options), random_(options.seed) {
    top_ = top_count(scores_.num_heads(), options.top_fraction);
    if (options.num_splits < 1) throw std::invalid_argument("stability: expected num_splits >= 1");
    for (size_t f = 0; f < scores_.num_families(); ++f) {
      num_halved_ += scores_.num_clusters(f) >= 2 ? 1 : 0;
    }
  }

  [[nodiscard]] const ClusteredScores& scores() const { return scores_; }
  [[nodiscard]] bool possible() const { return num_halved_ > 0; }

  // A random halving of about `num_probes` probes, shared out evenly over the families; each gives
  // two clusters at least.
  Halving draw(int64_t num_probes) {
    const double share = static_cast<double>(num_probes) / static_cast<double>(num_halved_);
    ClusterDraw halves[2];
    Halving result;
    ClusterDraw order = scores_.all();
    for (size_t f = 0; f < order.size(); ++f) {
      halves[0].emplace_back();
      halves[1].emplace_back();
      if (order[f].size() < 2) continue;
      seeded_shuffle(order[f], random_);
      size_t taken = 0;
      int64_t probes = 0;
      while (taken < order[f].size() && (taken < 2 || static_cast<double>(probes) < share)) {
        probes += scores_.probes_of(f, order[f][taken++]);
      }
      // Of an odd number, either half may have the one more.
      const size_t middle = (taken + draw_below(2, random_)) / 2;
      const auto begin = order[f].begin();
      halves[0][f].assign(begin, begin + static_cast<std::ptrdiff_t>(middle));
      halves[1][f].assign(begin + static_cast<std::ptrdiff_t>(middle),
                          begin + static_cast<std::ptrdiff_t>(taken));
      result.num_probes += probes;
    }
    const std::vector<double> first = scores_.mean(halves[0]);
    const std::vector<double> second = scores_.mean(halves[1]);
    result.spearman = spearman(first, second);
    result.top_jaccard = top_k_jaccard(first, second, top_);
    return result;
  }

  // Means over the halvings.
  SplitHalf measure(int64_t num_probes) {
    SplitHalf result{kNaN, kNaN, kNaN, kNaN, 0, 0, {}};
    for (size_t f = 0; f < scores_.num_families(); ++f) {
      if (scores_.num_clusters(f) < 2) {
        result.left_out.push_back(scores_.family(f));
      } else {
        result.num_clusters += static_cast<int64_t>(scores_.num_clusters(f));
      }
    }
    if (!possible()) return result;
    Halving sum;
    for (int64_t split = 0; split < options_.num_splits; ++split) {
      const Halving one = draw(num_probes);
      sum.spearman += one.spearman;
      sum.top_jaccard += one.top_jaccard;
      sum.num_probes += one.num_probes;
    }
    const auto splits = static_cast<double>(options_.num_splits);
    result.spearman = sum.spearman / splits;
    result.spearman_full = 2.0 * result.spearman / (1.0 + result.spearman);
    result.top_jaccard = sum.top_jaccard / splits;
    result.top_jaccard_full = overlap_of_repetition(result.top_jaccard);
    result.num_probes = std::llround(static_cast<double>(sum.num_probes) / splits);
    return result;
  }

 private:
  ClusteredScores scores_;
  StabilityOptions options_;
  std::mt19937_64 random_;
  int64_t top_ = 1;
  int64_t num_halved_ = 0;  // families with two clusters or more
};

// More than there are: every cluster of every family.
constexpr int64_t kAllProbes = std::numeric_limits<int64_t>::max();

}  // namespace

double overlap_of_repetition(double half_overlap) {
  return 1.0 - (1.0 - half_overlap) / std::sqrt(2.0);
}

SplitHalf split_half(const ProbeSamples& samples, const StabilityOptions& options) {
  return Halver(samples, options).measure(kAllProbes);
}

std::vector<double> half_overlaps(const ProbeSamples& samples, const StabilityOptions& options) {
  Halver halver(samples, options);
  std::vector<double> overlaps;
  if (!halver.possible()) return overlaps;
  for (int64_t split = 0; split < options.num_splits; ++split) {
    overlaps.push_back(halver.draw(kAllProbes).top_jaccard);
  }
  return overlaps;
}

std::vector<SplitHalf> stability_curve(const ProbeSamples& samples,
                                       const StabilityOptions& options) {
  Halver halver(samples, options);
  std::vector<SplitHalf> curve;
  if (!halver.possible()) return curve;
  const SplitHalf all = halver.measure(kAllProbes);
  std::vector<int64_t> sizes{8, 16, 24, 48};
  for (int64_t size = 80; size < all.num_probes; size *= 2) sizes.push_back(size);
  for (const int64_t size : sizes) {
    if (size >= all.num_probes) break;
    SplitHalf point = halver.measure(size);
    if (2 * point.num_probes <= 3 * size && point.num_probes < all.num_probes) {
      curve.push_back(std::move(point));
    }
  }
  curve.push_back(all);
  return curve;
}

}  // namespace headscope::analysis
