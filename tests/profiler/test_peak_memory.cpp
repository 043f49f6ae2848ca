#include "profiler/peak_memory.h"

#include <ATen/ATen.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "model/row_tasks.h"
#include "tests/support/thread_count.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kMegabyte = 1 << 20;

TEST_CASE("peak memory is the most that was held at once", "[profiler]") {
  const at::Tensor before = at::zeros({kMegabyte}, at::kByte);
  const PeakMemory peak;
  CHECK(peak.bytes() == 0);
  { const at::Tensor first = at::zeros({2 * kMegabyte}, at::kByte); }
  CHECK(peak.bytes() == 2 * kMegabyte);
  const at::Tensor second = at::zeros({kMegabyte}, at::kByte);
  CHECK(peak.bytes() == 2 * kMegabyte);
  const at::Tensor third = at::zeros({3 * kMegabyte}, at::kByte);
  CHECK(peak.bytes() == 4 * kMegabyte);
}

TEST_CASE("peak memory counts what threads that share the work hold", "[profiler]") {
  const testing::ThreadCount two(2);
  const PeakMemory peak;
  std::atomic<int> holding = 0;
  model::for_row_parts(2, [&](int64_t /*begin*/, int64_t /*end*/) {
    const at::Tensor part = at::zeros({kMegabyte}, at::kByte);
    ++holding;
    // Both at once; a machine that runs them one after the other fails, and does not hang.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (holding < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  CHECK(peak.bytes() == 2 * kMegabyte);
}

}  // namespace
}  // namespace headscope::profiler
