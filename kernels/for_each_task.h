// Runs body(task, state) for task 0 .. count - 1 on LibTorch's threads. Tasks are handed out on
// demand (they may differ in size), each thread with the state that make_state() gave it.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace headscope::kernels {

template <class MakeState, class Body>
void for_each_task(int64_t count, const MakeState& make_state, const Body& body) {
  const int64_t workers = std::min<int64_t>(count, at::get_num_threads());
  std::atomic<int64_t> next{0};
  const auto work = [&](int64_t begin, int64_t end) {
    if (begin >= end) return;
    auto state = make_state();
    for (int64_t task = next.fetch_add(1); task < count; task = next.fetch_add(1)) {
      body(task, state);
    }
  };
  if (workers <= 1) {
    work(0, 1);
  } else {
    at::parallel_for(0, workers, /*grain_size=*/1, work);
  }
}

}  // namespace headscope::kernels
