#include "analysis/agreement.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "analysis/clustered_scores.h"
#include "analysis/rank_correlation.h"

namespace headscope::analysis {
namespace {

template <typename Number>
SquareMatrix for_each_pair(const NamedScores& scores, const Number& number) {
  const size_t n = scores.names.size();
  SquareMatrix matrix(n, std::vector<double>(n));
  for (size_t row = 0; row < n; ++row) {
    for (size_t column = 0; column < n; ++column) {
      matrix[row][column] = number(scores.values[row], scores.values[column]);
    }
  }
  return matrix;
}

double sum_over(const std::vector<double>& values, const std::vector<size_t>& places) {
  double sum = 0.0;
  for (const size_t place : places) sum += std::isnan(values[place]) ? 0.0 : values[place];
  return sum;
}

}  // namespace

NamedScores family_means(const ProbeSamples& samples) {
  const ClusteredScores scores(samples, {});
  NamedScores means;
  const ClusterDraw all = scores.all();
  for (size_t f = 0; f < scores.num_families(); ++f) {
    ClusterDraw one(all.size());
    one[f] = all[f];
    means.names.push_back(scores.family(f));
    means.values.push_back(scores.mean(one));
  }
  return means;
}

Agreement agreement(const NamedScores& scores, int64_t k) {
  return {for_each_pair(scores, spearman), for_each_pair(scores, [k](const auto& a, const auto& b) {
            return top_k_jaccard(a, b, k);
          })};
}

SelectionLoss selection_loss(const NamedScores& scores, int64_t k) {
  return {for_each_pair(scores,
                        [k](const auto& selecting, const auto& measured) {
                          const auto chosen = top_k(selecting, k);
                          const auto wanted = top_k(measured, k);
                          std::vector<size_t> missed;
                          std::set_difference(wanted.begin(), wanted.end(), chosen.begin(),
                                              chosen.end(), std::back_inserter(missed));
                          return static_cast<double>(missed.size()) /
                                 static_cast<double>(wanted.size());
                        }),
          for_each_pair(scores, [k](const auto& selecting, const auto& measured) {
            return 1.0 -
                   sum_over(measured, top_k(selecting, k)) / sum_over(measured, top_k(measured, k));
          })};
}

}  // namespace headscope::analysis
