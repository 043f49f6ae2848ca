// That the kernels' loops use the threads they are given: compiled without OpenMP, LibTorch's
// parallel_for runs everything on one, and says nothing.
#include <ATen/Parallel.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels/for_each_task.h"
#include "tests/support/thread_count.h"

namespace headscope::kernels {
namespace {

// Waits until `wanted` have arrived; false when nobody comes.
bool meet(std::atomic<int>& arrived, int wanted) {
  ++arrived;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (arrived < wanted) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST_CASE("parallel_for runs its parts at the same time", "[kernels]") {
  const testing::ThreadCount threads(2);
  std::atomic<int> arrived{0}, met{0};
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) { met += meet(arrived, 2) ? 1 : 0; });
  CHECK(met == 2);
}

TEST_CASE("tasks handed out on demand run at the same time, each once", "[kernels]") {
  const testing::ThreadCount threads(2);
  std::atomic<int> arrived{0}, met{0};
  std::vector<std::atomic<int>> runs(7);
  for_each_task(
      7, [] { return 0; },
      [&](int64_t task, int) {
        ++runs[static_cast<size_t>(task)];
        if (task < 2) met += meet(arrived, 2) ? 1 : 0;
      });
  CHECK(met == 2);
  for (const std::atomic<int>& count : runs) CHECK(count == 1);
}

}  // namespace headscope::kernels
