#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <set>

#include "profiler/random_control.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kLayers = 2;
constexpr int64_t kTokens = 100;

// Two layers of two KV heads, the second with a sliding window where one is asked for.
std::unique_ptr<runtime::FullKvCache> cache_of(int64_t attention_window = 0) {
  at::manual_seed(3);
  auto cache = std::make_unique<runtime::FullKvCache>(
      kLayers, runtime::FullKvCacheOptions{.window_tokens = 8});
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    static_cast<void>(cache->attend({.layer = layer,
                                     .q = at::randn({1, 4, kTokens, 8}),
                                     .k = at::randn({1, 2, kTokens, 8}),
                                     .v = at::randn({1, 2, kTokens, 8}),
                                     .scale = 0.35,
                                     .attention_window = layer == 1 ? attention_window : 0}));
  }
  return cache;
}

TEST_CASE("random tokens are the budget's number, the last eight among them", "[profiler]") {
  const auto full = cache_of();
  const auto kept = keep_random_tokens(*full, 20, 5);
  CHECK(kept->next_position() == kTokens);
  std::set<std::vector<int64_t>> sets;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    for (int64_t head = 0; head < 2; ++head) {
      const std::vector<int64_t> positions = kept->retained_positions(layer, head);
      REQUIRE(positions.size() == 20);
      CHECK(std::set<int64_t>(positions.begin(), positions.end()).size() == 20);
      CHECK(positions[12] == 92);
      CHECK(positions.back() == 99);
      CHECK(positions[11] < 92);
      sets.insert(positions);
    }
  }
  CHECK(sets.size() == 4);  // every layer and head draws for itself
  CHECK(keep_random_tokens(*full, 20, 5)->retained_positions(1, 1) ==
        kept->retained_positions(1, 1));
  CHECK(keep_random_tokens(*full, 20, 6)->retained_positions(1, 1) !=
        kept->retained_positions(1, 1));
  // A small budget is at most half recent.
  CHECK(keep_random_tokens(*full, 6, 5)->retained_positions(0, 0)[3] == 97);
}

TEST_CASE("every old token is as likely to stay as any other", "[profiler]") {
  const auto full = cache_of();
  std::vector<int> times(kTokens, 0);
  constexpr int kDraws = 300;
  for (int seed = 0; seed < kDraws; ++seed) {
    const auto kept = keep_random_tokens(*full, 31, static_cast<uint64_t>(seed));
    for (const int64_t position : kept->retained_positions(0, 0)) {
      ++times[static_cast<size_t>(position)];
    }
  }
  // 23 of 92 stay: 75 of 300 draws expected, with a standard deviation of 7.5.
  for (int64_t position = 0; position < 92; ++position) {
    INFO("position " << position);
    CHECK(times[static_cast<size_t>(position)] > 75 - 38);
    CHECK(times[static_cast<size_t>(position)] < 75 + 38);
  }
}

TEST_CASE("random tokens of a sliding window are among those that it sees", "[profiler]") {
  const auto full = cache_of(/*attention_window=*/33);
  const auto kept = keep_random_tokens(*full, 16, 1);
  CHECK(kept->retained_positions(1, 0).size() == 16);
  CHECK(kept->retained_positions(1, 0).front() >= kTokens - 32);
  CHECK(keep_random_tokens(*full, 64, 1)->retained_positions(1, 0).size() == 32);
  CHECK(keep_random_tokens(*full, 64, 1)->retained_positions(0, 0).size() == 64);
  // What fits stays.
  CHECK_FALSE(keep_random_tokens(*full, 200, 1)->is_evicted(0));
}

}  // namespace
}  // namespace headscope::profiler
