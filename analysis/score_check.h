// What allocators that read head scores ask of them.
#pragma once

#include <string>

#include "analysis/allocator.h"
#include "outputs/head_matrix.h"

namespace headscope::analysis {

// InputError naming `what` unless the matrix is [num_layers, num_heads] of finite numbers >= 0
// (NaN = not measured is fine) of which one at least is above 0. `missing` says what to do where
// the matrix is empty.
void check_scores(const HeadMatrix& scores,
                  const ModelShape& shape,
                  int64_t num_heads,
                  const std::string& what,
                  const std::string& missing);

// NaN (a head that no probe could measure: its sliding window does not reach that far) counts as 0.
[[nodiscard]] HeadMatrix without_gaps(HeadMatrix scores);

}  // namespace headscope::analysis
