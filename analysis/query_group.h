// From a number per query head to a number per KV head. Query head h reads KV head
// h / query_group_size.
#pragma once

#include <cstdint>

#include "outputs/head_matrix.h"

namespace headscope::analysis {

enum class GroupReduction { kSum, kMean, kMax };

// scores [num_layers, num_query_heads] -> [num_layers, num_kv_heads]. NaN query heads are left out;
// a group of nothing but NaN gives NaN. std::invalid_argument where num_kv_heads does not divide
// the number of query heads.
[[nodiscard]] HeadMatrix reduce_query_groups(const HeadMatrix& scores,
                                             int64_t num_kv_heads,
                                             GroupReduction reduction);

}  // namespace headscope::analysis
