#include "analysis/query_group.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace headscope::analysis {
namespace {

double reduce_group(const HeadMatrix& scores,
                    int64_t layer,
                    int64_t first_head,
                    int64_t group_size,
                    GroupReduction reduction) {
  double sum = 0.0;
  double highest = -std::numeric_limits<double>::infinity();
  int64_t measured = 0;
  for (int64_t head = first_head; head < first_head + group_size; ++head) {
    const double score = scores.at(layer, head);
    if (std::isnan(score)) {
      continue;
    }
    sum += score;
    highest = std::max(highest, score);
    ++measured;
  }
  if (measured == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  switch (reduction) {
    case GroupReduction::kSum:
      return sum;
    case GroupReduction::kMean:
      return sum / static_cast<double>(measured);
    case GroupReduction::kMax:
      return highest;
  }
  throw std::invalid_argument("reduce_query_groups: unknown reduction");
}

}  // namespace

HeadMatrix reduce_query_groups(const HeadMatrix& scores,
                               int64_t num_kv_heads,
                               GroupReduction reduction) {
  if (num_kv_heads < 1 || scores.num_heads % num_kv_heads != 0) {
    throw std::invalid_argument("reduce_query_groups: expected KV heads that divide " +
                                std::to_string(scores.num_heads) + " query heads, found " +
                                std::to_string(num_kv_heads));
  }
  const int64_t group_size = scores.num_heads / num_kv_heads;
  HeadMatrix reduced(scores.num_layers, num_kv_heads);
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t kv_head = 0; kv_head < num_kv_heads; ++kv_head) {
      reduced.at(layer, kv_head) =
          reduce_group(scores, layer, kv_head * group_size, group_size, reduction);
    }
  }
  return reduced;
}

}  // namespace headscope::analysis
