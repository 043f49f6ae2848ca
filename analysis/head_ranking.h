// Orders heads by score. Order is total and the same everywhere: higher score first, equal scores
// by (layer, head), NaN (not measured) last.
#pragma once

#include <cstdint>
#include <vector>

#include "outputs/head_matrix.h"
#include "outputs/model_shape.h"

namespace headscope::analysis {

struct RankedHead {
  HeadId head;
  double score = 0.0;  // NaN = not measured
};

// All heads of the matrix, best first.
[[nodiscard]] std::vector<RankedHead> rank_heads(const HeadMatrix& scores);

// [num_layers][num_heads]: every layer's heads, best first: a full permutation of 0..num_heads-1.
[[nodiscard]] std::vector<std::vector<int64_t>> rank_heads_per_layer(const HeadMatrix& scores);

// [num_layers][k]: the first k of rank_heads_per_layer. k is 1..num_heads, else
// std::invalid_argument. There is no threshold: a layer without a good head still gives its best k,
// as CompressKV does (arXiv 2508.02401).
[[nodiscard]] std::vector<std::vector<int64_t>> top_heads_per_layer(const HeadMatrix& scores,
                                                                    int64_t k);

}  // namespace headscope::analysis
