// The emulator itself: what it computes, and the faults it finds.
#include "tests/kernels/cuda_emulator.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/ops.h"
#include "tests/kernels/emulated_launcher.h"
#include "tests/kernels/variants.h"

namespace headscope::emulator {
namespace {

Grid one_block(unsigned threads, size_t shared_bytes = 0) {
  return {{1}, threads, shared_bytes};
}

// Each thread writes its number and reads its neighbour's.
std::vector<unsigned> neighbours(bool with_barrier) {
  std::vector<unsigned> seen(64);
  run(one_block(64, 64 * sizeof(unsigned)), kernels::kSeed, [&](char* shared) {
    const unsigned me = thread_index().x;
    std::memcpy(shared + me * sizeof(unsigned), &me, sizeof(unsigned));
    if (with_barrier) block_barrier();
    std::memcpy(&seen[me], shared + (me + 1) % 64 * sizeof(unsigned), sizeof(unsigned));
  });
  return seen;
}

TEST_CASE("a barrier orders what threads share, and a forgotten one shows", "[kernels]") {
  std::vector<unsigned> expected(64);
  for (unsigned i = 0; i < 64; ++i) expected[i] = (i + 1) % 64;
  CHECK(neighbours(/*with_barrier=*/true) == expected);
  CHECK(neighbours(/*with_barrier=*/false) != expected);
}

TEST_CASE("every thread of every block runs once", "[kernels]") {
  std::vector<int> ran(3 * 2 * 5 * 32);
  run({{3, 2, 5}, 32, 0}, kernels::kSeed, [&](char*) {
    const Dim3& block = block_index();
    ++ran[((block.z * 2 + block.y) * 3 + block.x) * 32 + thread_index().x];
  });
  CHECK(ran == std::vector<int>(ran.size(), 1));
}

TEST_CASE("lanes show each other what they hold", "[kernels]") {
  std::vector<unsigned> got(32);
  run(one_block(32), kernels::kSeed, [&](char*) {
    for (unsigned round = 0; round < 3; ++round) {
      const unsigned mine = 100 * round + thread_index().x;
      LaneValue shown{};
      std::memcpy(shown.data(), &mine, sizeof(mine));
      std::memcpy(&got[thread_index().x], exchange("shuffle", shown)[31 - thread_index().x].data(),
                  sizeof(mine));
    }
  });
  for (unsigned lane = 0; lane < 32; ++lane) CHECK(got[lane] == 231 - lane);
}

TEST_CASE("faults end the run with an error", "[kernels]") {
  const auto faulty = [](const std::function<void(char*)>& body) {
    run(one_block(32), kernels::kSeed, body);
  };
  CHECK_THROWS_WITH(faulty([](char*) {
                      if (thread_index().x == 5) block_barrier();
                    }),
                    Catch::Contains("wait for what never comes"));
  CHECK_THROWS_WITH(
      faulty([](char*) { exchange(thread_index().x == 5 ? "ballot" : "shuffle", {}); }),
      Catch::Contains("lanes of a warp meet at"));
  CHECK_THROWS_WITH(faulty([](char*) {
                      while (true) yield_to_others();
                    }),
                    Catch::Contains("wait for what never comes"));
  CHECK_NOTHROW(faulty([](char*) { block_barrier(); }));
}

}  // namespace
}  // namespace headscope::emulator

namespace headscope::kernels {
namespace {

TEST_CASE("the compaction kernel refuses positions that do not ascend or lie outside",
          "[kernels]") {
  const EmulatedLauncher launcher(kSeed);
  override_kernel_launcher(&launcher);
  const at::Tensor rows = at::zeros({40, 8});
  CHECK_THROWS_AS(compact_kv(rows, at::tensor({3, 2}, at::kLong), rows, 0), std::logic_error);
  CHECK_THROWS_AS(compact_kv(rows, at::tensor({3, 40}, at::kLong), rows, 0), std::logic_error);
  // A move to the back, of more rows than a block holds.
  const at::Tensor many = at::zeros({3001, 8});
  CHECK_THROWS_AS(compact_kv(many, at::arange(3000), many, 1), std::logic_error);
  CHECK_NOTHROW(compact_kv(rows, at::tensor({3, 39}, at::kLong), rows, 3));
  override_kernel_launcher(nullptr);
}

TEST_CASE("more rows than one launch takes are selected in several", "[kernels]") {
  at::manual_seed(kSeed);
  const EmulatedLauncher launcher(kSeed);
  override_kernel_launcher(&launcher);
  const at::Tensor scores = at::randn({kMaxSelectRows + 3, 9});
  const std::vector<int64_t> count(static_cast<size_t>(scores.size(0)), 4);
  const std::vector<at::Tensor> kept = select_retained(scores, count);
  override_kernel_launcher(nullptr);
  CHECK(launcher.launches() == 2);
  for (int64_t r = 0; r < scores.size(0); ++r) {
    const at::Tensor best = std::get<1>(scores[r].topk(4));
    CHECK(at::equal(kept[static_cast<size_t>(r)], std::get<0>(best.sort())));
  }
}

}  // namespace
}  // namespace headscope::kernels
