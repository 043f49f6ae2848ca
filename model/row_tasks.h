// How the rows of element-wise work are cut into parallel tasks.
#pragma once

#include <algorithm>
#include <cstdint>

namespace headscope::model {

// Rows that one task takes at least: less work than 16 384 numbers is done before another thread
// wakes, and on a machine in use a thread that is waited for may not get a core for milliseconds.
inline int64_t rows_per_task(int64_t row_size) {
  constexpr int64_t kNumbers = int64_t{1} << 14;
  return std::max<int64_t>(1, kNumbers / std::max<int64_t>(1, row_size));
}

}  // namespace headscope::model
