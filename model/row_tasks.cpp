#include "model/row_tasks.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>

namespace headscope::model {

bool rows_suffice(int64_t rows, int64_t fewest) {
  const int64_t threads = at::get_num_threads();
  return threads > 1 && rows / threads >= fewest && !at::in_parallel_region();
}

void for_row_parts(int64_t rows, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t threads = at::get_num_threads();
  // Whether gradients are recorded, and who counts memory, is each thread's own setting.
  const at::ThreadLocalState caller;
  at::parallel_for(0, rows, (rows + threads - 1) / threads, [&](int64_t begin, int64_t end) {
    const at::ThreadLocalStateGuard guard(caller);
    body(begin, end);
  });
}

}  // namespace headscope::model
