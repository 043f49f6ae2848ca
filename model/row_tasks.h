// How the rows of the decoder's arithmetic are cut into parallel tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace headscope::model {

// Rows that one task of element-wise work takes at least: less work than 16 384 numbers is done
// before another thread wakes, and on a machine in use a thread that is waited for may not get a
// core for milliseconds.
inline int64_t rows_per_task(int64_t row_size) {
  constexpr int64_t kNumbers = int64_t{1} << 14;
  return std::max<int64_t>(1, kNumbers / std::max<int64_t>(1, row_size));
}

// Whether each of the threads would get at least `fewest` of the rows. False inside a part.
[[nodiscard]] bool rows_suffice(int64_t rows, int64_t fewest);

// Calls body(begin, end) for every thread's part of the rows. Products inside are that thread's
// alone; its allocations count as the calling thread's.
void for_row_parts(int64_t rows, const std::function<void(int64_t, int64_t)>& body);

}  // namespace headscope::model
