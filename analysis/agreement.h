// Do several scores, or the same score on several families of needles, mean the same heads? And
// what does a selection made by one lose on the others?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"

namespace headscope::analysis {

// n named lists of one number per head.
struct NamedScores {
  std::vector<std::string> names;
  std::vector<std::vector<double>> values;  // [n][num_heads]
};

// Each family's own mean scores, in order of first appearance.
[[nodiscard]] NamedScores family_means(const ProbeSamples& samples);

// Square matrices [n][n], rows and columns in the order of the names.
using SquareMatrix = std::vector<std::vector<double>>;

struct Agreement {
  SquareMatrix spearman;     // rank correlation over the heads that both measured
  SquareMatrix top_jaccard;  // overlap of the k top heads
};

[[nodiscard]] Agreement agreement(const NamedScores& scores, int64_t k);

// What the k top heads by row's scores miss of column's: the share of column's k top heads that are
// not among them, and the share of the score mass of column's k top heads that they do not have.
struct SelectionLoss {
  SquareMatrix heads;  // 0..1
  SquareMatrix mass;   // 0..1: 1 - sum of column's scores over row's top / over column's own top
};

[[nodiscard]] SelectionLoss selection_loss(const NamedScores& scores, int64_t k);

}  // namespace headscope::analysis
