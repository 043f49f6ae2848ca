#include "analysis/score_check.h"

#include <algorithm>
#include <cmath>

#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

void check_value(const HeadMatrix& scores, int64_t layer, int64_t head, const std::string& what) {
  const double score = scores.at(layer, head);
  if (std::isinf(score) || score < 0.0) {
    throw InputError(what + ", layer " + std::to_string(layer) + ", head " + std::to_string(head),
                     "a finite number of at least 0", std::to_string(score));
  }
}

}  // namespace

void check_scores(const HeadMatrix& scores,
                  const ModelShape& shape,
                  int64_t num_heads,
                  const std::string& what,
                  const std::string& missing) {
  if (scores.values.empty()) {
    throw InputError(what, "a score per head", "none", missing);
  }
  if (scores.num_layers != shape.num_layers || scores.num_heads != num_heads) {
    throw InputError(
        what,
        std::to_string(shape.num_layers) + " layers of " + std::to_string(num_heads) + " heads",
        std::to_string(scores.num_layers) + " layers of " + std::to_string(scores.num_heads));
  }
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t head = 0; head < scores.num_heads; ++head) check_value(scores, layer, head, what);
  }
  if (std::none_of(scores.values.begin(), scores.values.end(),
                   [](double score) { return score > 0.0; })) {
    throw InputError(what, "a score above 0 for at least one head", "none",
                     "Plan with another score, or with uniform.");
  }
}

HeadMatrix without_gaps(HeadMatrix scores) {
  for (double& score : scores.values) score = std::isnan(score) ? 0.0 : score;
  return scores;
}

}  // namespace headscope::analysis
