#include "runtime/ragged_kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::largest_difference;
using test::plain_attention;
using test::random_sequence;
using test::small_shape;

// A random ascending subset per row, of different sizes; every row's first size
// is `smallest`.
std::vector<at::Tensor> random_subsets(int64_t rows, int64_t num_keys, int64_t smallest) {
  std::vector<at::Tensor> subsets;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t count = std::min(num_keys, smallest + 13 * row);
    subsets.push_back(std::get<0>(at::randperm(num_keys, at::kLong).slice(0, 0, count).sort()));
  }
  return subsets;
}

// Which of `total` positions queries begin..end-1 see: retained prompt
// positions, everything after the prompt, causally, within the window. [B, Hkv,
// n, total].
at::Tensor visible_mask(const std::vector<at::Tensor>& retained,
                        int64_t batch,
                        int64_t prompt,
                        int64_t begin,
                        int64_t end,
                        int64_t window) {
  const auto rows = static_cast<int64_t>(retained.size());
  at::Tensor mask = at::zeros({rows, end - begin, end}, at::kBool);
  for (int64_t row = 0; row < rows; ++row) {
    at::Tensor held = at::zeros({end}, at::kBool);
    held.index_fill_(0, retained[static_cast<size_t>(row)], true);
    held.slice(0, prompt).fill_(true);
    for (int64_t query = begin; query < end; ++query) {
      const int64_t first = window > 0 ? std::max<int64_t>(0, query - window + 1) : 0;
      mask[row][query - begin].slice(0, first, query + 1).copy_(held.slice(0, first, query + 1));
    }
  }
  return mask.reshape({batch, rows / batch, end - begin, end});
}

// float32 attention over a few hundred keys with weights that sum to 1 and
// values of order 1.
constexpr double kTolerance = 1e-5;

TEST_CASE("ragged attention equals full attention with the evicted keys masked", "[runtime]") {
  constexpr int64_t kPrompt = 60;
  // Single tokens and small groups of them, enough to use the slack up several
  // times.
  const std::vector<int64_t> passes = {1, 1, 1, 3, 1, 1, 5, 1, 1, 1, 20, 1, 1, 40, 1, 2};
  for (const int64_t group : {1, 4}) {
    for (const int64_t window : {0, 25}) {
      for (const int64_t batch : {1, 2}) {
        const auto seed = static_cast<uint64_t>(500 + group + window + batch);
        INFO("group " << group << ", window " << window << ", batch " << batch << ", seed "
                      << seed);
        test::Sequence sequence = random_sequence(small_shape(1, 3 * group, 3), batch, 200, seed);
        sequence.shape.attention_window = {window};
        const auto retained = random_subsets(batch * 3, kPrompt, 4);
        RaggedKvCache cache(1, kPrompt);
        cache.set_layer(0, RaggedLayer(sequence.k[0].slice(2, 0, kPrompt),
                                       sequence.v[0].slice(2, 0, kPrompt), retained, 0));
        int64_t position = kPrompt;
        for (const int64_t count : passes) {
          const int64_t end = position + count;
          const at::Tensor z = feed(cache, sequence, position, end)[0].z;
          const at::Tensor expected =
              plain_attention(sequence.q[0].slice(2, position, end), sequence.k[0].slice(2, 0, end),
                              sequence.v[0].slice(2, 0, end), sequence.scale,
                              visible_mask(retained, batch, kPrompt, position, end, window));
          INFO("pass at " << position);
          REQUIRE(largest_difference(z, expected) < kTolerance);
          position = end;
        }
        CHECK(cache.next_position() == position);
      }
    }
  }
}

TEST_CASE("positions held are the retained ones and all that came since", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 2, 2), 2, 100, 510);
  const std::vector<at::Tensor> retained = {
      at::tensor({3, 7, 49}, at::kLong), at::tensor({0}, at::kLong),
      at::tensor({48, 49}, at::kLong), at::tensor({1, 2, 3, 4}, at::kLong)};
  RaggedKvCache cache(1, 50);
  cache.set_layer(
      0, RaggedLayer(sequence.k[0].slice(2, 0, 50), sequence.v[0].slice(2, 0, 50), retained, 0));
  CHECK(cache.is_evicted(0));
  CHECK(cache.retained_positions(0, 0) == std::vector<int64_t>{3, 7, 49});
  CHECK(cache.retained_positions(0, 1, 1) == std::vector<int64_t>{1, 2, 3, 4});
  feed(cache, sequence, 50, 52);
  CHECK(cache.next_position() == 52);
  CHECK(cache.retained_positions(0, 0, 1) == std::vector<int64_t>{48, 49, 50, 51});
}

TEST_CASE("slack of a ragged row is an eighth, at least 8 and at most 64 tokens", "[runtime]") {
  for (int64_t length = 0; length < 5000; ++length) {
    const int64_t slack = ragged_capacity(length) - length;
    REQUIRE(slack >= 8);
    REQUIRE(slack <= std::max<int64_t>(8, std::min<int64_t>(64, length / 8)));
  }
}

TEST_CASE("decode appends in place until the slack is used up", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 2, 1), 1, 200, 511);
  RaggedKvCache cache(1, 100);
  cache.set_layer(0, RaggedLayer(sequence.k[0].slice(2, 0, 100), sequence.v[0].slice(2, 0, 100),
                                 {at::arange(40)}, 0));
  const int64_t bytes = cache.bytes_held();
  CHECK(bytes == 2 * ragged_capacity(40) * 8 * 4);
  feed(cache, sequence, 100, 108);
  CHECK(cache.bytes_held() == bytes);
  feed(cache, sequence, 108, 109);
  CHECK(cache.bytes_held() == 2 * ragged_capacity(49) * 8 * 4);
}

TEST_CASE("a sliding window's layer does not grow for ever", "[runtime]") {
  test::Sequence sequence = random_sequence(small_shape(1, 2, 1), 1, 1000, 512);
  sequence.shape.attention_window = {32};
  RaggedKvCache cache(1, 100);
  cache.set_layer(0, RaggedLayer(sequence.k[0].slice(2, 69, 100), sequence.v[0].slice(2, 69, 100),
                                 {at::arange(31)}, 69));
  for (int64_t position = 100; position < 1000; ++position) {
    feed(cache, sequence, position, position + 1);
  }
  CHECK(cache.bytes_held() <= 2 * ragged_capacity(32) * 8 * 4);
  CHECK(cache.retained_positions(0, 0).size() >= 32);
  // What was given up does not come back, and it is said.
  CHECK_THROWS_WITH(cache.truncate(100), Catch::Contains("sliding window has given up"));
}

TEST_CASE("a truncated ragged cache goes on as if the rest had never come", "[runtime]") {
  for (const int64_t window : {0, 40}) {
    INFO("window " << window);
    test::Sequence sequence = random_sequence(small_shape(2, 4, 2), 1, 120, 513);
    test::Sequence draft = random_sequence(small_shape(2, 4, 2), 1, 120, 514);
    sequence.shape.attention_window = draft.shape.attention_window = {window, window};
    const auto retained = random_subsets(2, 50, 20);
    RaggedKvCache straight(2, 50);
    RaggedKvCache detour(2, 50);
    for (RaggedKvCache* cache : {&straight, &detour}) {
      for (int64_t layer = 0; layer < 2; ++layer) {
        const auto l = static_cast<size_t>(layer);
        cache->set_layer(layer, RaggedLayer(sequence.k[l].slice(2, 0, 50),
                                            sequence.v[l].slice(2, 0, 50), retained, 0));
      }
      feed(*cache, sequence, 50, 53);
    }
    feed(detour, draft, 53, 57);
    detour.attend(draft.step(0, 57, 58));
    detour.truncate(53);
    for (int64_t position = 53; position < 70; ++position) {
      const auto expected = feed(straight, sequence, position, position + 1);
      const auto found = feed(detour, sequence, position, position + 1);
      REQUIRE(at::equal(expected[1].z, found[1].z));
    }
    CHECK(straight.retained_positions(1, 1) == detour.retained_positions(1, 1));
    CHECK_THROWS_WITH(detour.truncate(49), Catch::Contains("evicted keys do not come back"));
  }
}

TEST_CASE("a head that kept nothing attends to what comes", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 1, 1), 1, 12, 515);
  RaggedKvCache cache(1, 10);
  cache.set_layer(0, RaggedLayer(sequence.k[0].slice(2, 0, 10), sequence.v[0].slice(2, 0, 10),
                                 {at::empty({0}, at::kLong)}, 0));
  const at::Tensor z = feed(cache, sequence, 10, 11)[0].z;
  CHECK(largest_difference(z, sequence.v[0].slice(2, 10, 11)) < 1e-6);
}

TEST_CASE("a layer that was not set, or another batch, is refused", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(2, 2, 2), 1, 12, 516);
  RaggedKvCache cache(2, 10);
  cache.set_layer(0, RaggedLayer(sequence.k[0].slice(2, 0, 10), sequence.v[0].slice(2, 0, 10),
                                 {at::arange(3), at::arange(4)}, 0));
  CHECK_THROWS_WITH(cache.attend(sequence.step(1, 10, 11)), Catch::Contains("not been set"));
  const test::Sequence two = random_sequence(small_shape(2, 2, 2), 2, 12, 517);
  CHECK_THROWS_AS(cache.attend(two.step(0, 10, 11)), std::invalid_argument);
  CHECK_THROWS_AS(RaggedLayer(sequence.k[0], sequence.v[0], {at::arange(3)}, 0),
                  std::invalid_argument);
}

}  // namespace
}  // namespace headscope::runtime
