#include "runtime/full_kv_cache.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::random_sequence;
using test::small_shape;

TEST_CASE("a full cache holds every key and value, whatever chunks they came in", "[runtime]") {
  constexpr uint64_t kSeed = 11;
  INFO("seed " << kSeed);
  const test::Sequence sequence = random_sequence(small_shape(2, 4, 2), 2, 200, kSeed);
  for (const int64_t chunk : {1, 7, 64, 200}) {
    INFO("chunk " << chunk);
    FullKvCache cache(2);
    feed_prompt(cache, sequence, 200, chunk);
    REQUIRE(cache.next_position() == 200);
    for (int64_t layer = 0; layer < 2; ++layer) {
      CHECK(at::equal(cache.keys(layer), sequence.k[static_cast<size_t>(layer)]));
      CHECK(at::equal(cache.values(layer), sequence.v[static_cast<size_t>(layer)]));
    }
  }
}

TEST_CASE("keys are a view of the cache's own storage, and bytes are the storages'", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(3, 4, 2), 2, 100, 12);
  FullKvCache cache(3);
  CHECK(cache.bytes_held() == 0);
  CHECK_FALSE(cache.keys(0).defined());
  feed(cache, sequence, 0, 100);
  int64_t storages = 0;
  for (int64_t layer = 0; layer < 3; ++layer) {
    CHECK(cache.keys(layer).is_alias_of(cache.keys(layer).slice(2, 0, 1)));
    CHECK(cache.keys(layer).data_ptr() == cache.keys(layer).storage().data());
    storages += static_cast<int64_t>(cache.keys(layer).storage().nbytes() +
                                     cache.values(layer).storage().nbytes());
  }
  CHECK(cache.bytes_held() == storages);
  CHECK(storages == 3 * 2 * (2 * 2 * full_capacity(100) * 8 * 4));
}

TEST_CASE("within a pass the next position is the pass's first", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(2, 2, 2), 1, 10, 13);
  FullKvCache cache(2);
  feed(cache, sequence, 0, 6);
  cache.attend(sequence.step(0, 6, 10));
  CHECK(cache.next_position() == 6);
  cache.attend(sequence.step(1, 6, 10));
  CHECK(cache.next_position() == 10);
}

TEST_CASE("storage of a full layer stays within 64 tokens or an eighth", "[runtime]") {
  CHECK(full_capacity(0) == 0);
  int64_t previous = 0;
  for (int64_t tokens = 1; tokens < 20000; tokens += 1 + tokens / 50) {
    const int64_t capacity = full_capacity(tokens);
    REQUIRE(capacity >= tokens);
    REQUIRE(capacity - tokens < std::max<int64_t>(64, tokens / 8 + 1));
    REQUIRE(capacity >= previous);
    previous = capacity;
  }
}

TEST_CASE("a prompt announced or reserved for takes its storage at once", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 2, 1), 1, 1000, 14);
  FullKvCache announced(1);
  announced.expect_prompt(1000);
  FullKvCache reserved(1, {.reserve_tokens = 1000, .window_tokens = 0});
  for (FullKvCache* cache : {&announced, &reserved}) {
    feed(*cache, sequence, 0, 10);
    const void* storage = cache->keys(0).data_ptr();
    CHECK(cache->bytes_held() == 2 * full_capacity(1000) * 8 * 4);
    feed(*cache, sequence, 10, 1000);
    CHECK(cache->keys(0).data_ptr() == storage);
  }
}

TEST_CASE("window queries are the prompt's last rows wherever chunks end", "[runtime]") {
  constexpr int64_t kPrompt = 21;
  constexpr int64_t kWindow = 8;
  const test::Sequence sequence = random_sequence(small_shape(2, 4, 2), 2, 30, 15);
  FullKvCache whole(2);
  const std::vector<LayerAttention> attention = feed(whole, sequence, 0, kPrompt);
  for (const int64_t chunk : {1, 2, 3, 5, 8, 9, 20, 21}) {
    INFO("chunk " << chunk);
    FullKvCache cache(2, {.reserve_tokens = 0, .window_tokens = kWindow});
    feed_prompt(cache, sequence, kPrompt, chunk);
    // Tokens that come after the prompt do not move the window.
    feed(cache, sequence, kPrompt, kPrompt + 3);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const auto l = static_cast<size_t>(layer);
      CHECK(cache.window(layer).end == kPrompt);
      CHECK(at::equal(cache.window_queries(layer),
                      sequence.q[l].slice(2, kPrompt - kWindow, kPrompt)));
      CHECK(at::allclose(cache.window_lse(layer),
                         attention[l].lse.slice(2, kPrompt - kWindow, kPrompt), 1e-5, 1e-5));
    }
  }
}

TEST_CASE("a prompt shorter than the window is remembered whole", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 2, 1), 1, 5, 16);
  FullKvCache cache(1, {.reserve_tokens = 0, .window_tokens = 8});
  feed_prompt(cache, sequence, 5, 2);
  CHECK(at::equal(cache.window_queries(0), sequence.q[0]));
}

TEST_CASE("a truncated cache goes on as if the rest had never come", "[runtime]") {
  constexpr uint64_t kSeed = 17;
  INFO("seed " << kSeed);
  const test::Sequence sequence = random_sequence(small_shape(2, 4, 2), 2, 80, kSeed);
  const test::Sequence draft = random_sequence(small_shape(2, 4, 2), 2, 80, kSeed + 1);
  FullKvCache straight(2, {.reserve_tokens = 0, .window_tokens = 8});
  FullKvCache detour(2, {.reserve_tokens = 0, .window_tokens = 8});
  feed(straight, sequence, 0, 40);
  feed(detour, sequence, 0, 40);
  feed(detour, draft, 40, 45);
  // A pass that stopped after its first layer is mended as well.
  detour.attend(draft.step(0, 45, 50));
  detour.truncate(40);
  CHECK(detour.next_position() == 40);
  for (int64_t position = 40; position < 50; ++position) {
    const auto expected = feed(straight, sequence, position, position + 1);
    const auto found = feed(detour, sequence, position, position + 1);
    for (size_t layer = 0; layer < 2; ++layer) {
      REQUIRE(at::equal(expected[layer].z, found[layer].z));
    }
  }
  CHECK(at::equal(straight.window_queries(1), detour.window_queries(1)));
  CHECK_THROWS_AS(detour.truncate(51), std::invalid_argument);
  CHECK_THROWS_AS(detour.truncate(-1), std::invalid_argument);
}

TEST_CASE(
    "truncation behind the prompt's end leaves only window rows that are "
    "still true",
    "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 2, 1), 1, 40, 18);
  FullKvCache cache(1, {.reserve_tokens = 0, .window_tokens = 8});
  feed_prompt(cache, sequence, 20, 20);
  cache.truncate(17);
  CHECK(cache.window(0).end == 17);
  CHECK(at::equal(cache.window_queries(0), sequence.q[0].slice(2, 12, 17)));
  // A second question on the shared prefix is remembered anew.
  feed(cache, sequence, 17, 19);
  CHECK(at::equal(cache.window_queries(0), sequence.q[0].slice(2, 12, 19)));
  cache.truncate(3);
  CHECK_FALSE(cache.window_queries(0).defined());
}

TEST_CASE("clear gives the memory back", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(2, 2, 1), 1, 30, 19);
  FullKvCache cache(2);
  feed(cache, sequence, 0, 30);
  cache.clear();
  CHECK(cache.bytes_held() == 0);
  CHECK(cache.next_position() == 0);
  feed(cache, sequence, 0, 5);
  CHECK(at::equal(cache.keys(1), sequence.k[1].slice(2, 0, 5)));
}

TEST_CASE("a fork repeats the prefix per answer and shares nothing", "[runtime]") {
  const test::Sequence prefix = random_sequence(small_shape(2, 4, 2), 1, 30, 20);
  const test::Sequence answers = random_sequence(small_shape(2, 4, 2), 3, 31, 21);
  FullKvCache cache(2, {.reserve_tokens = 0, .window_tokens = 4});
  feed(cache, prefix, 0, 30);
  const auto batch = cache.fork(3);
  feed(*batch, answers, 30, 31);
  CHECK(cache.next_position() == 30);
  CHECK(at::equal(cache.keys(1), prefix.k[1]));
  CHECK(batch->keys(1).size(0) == 3);
  CHECK(at::equal(batch->keys(1).slice(2, 0, 30)[2], prefix.k[1][0]));
  CHECK(at::equal(batch->keys(1).slice(2, 30, 31), answers.k[1].slice(2, 30, 31)));
  CHECK_THROWS_AS(cache.fork(0), std::invalid_argument);
}

TEST_CASE("steps of the wrong shape are refused by name", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 8, 22);
  FullKvCache cache(1);
  feed(cache, sequence, 0, 4);
  LayerStep step = sequence.step(0, 4, 5);
  step.layer = 1;
  CHECK_THROWS_AS(cache.attend(step), std::invalid_argument);
  step = sequence.step(0, 4, 5);
  step.v = sequence.v[0].slice(2, 4, 6);
  CHECK_THROWS_WITH(cache.attend(step), Catch::Contains("v with the shape of k"));
  step = sequence.step(0, 4, 5);
  step.k = step.k.to(at::kDouble);
  CHECK_THROWS_WITH(cache.attend(step), Catch::Contains("one dtype"));
  const test::Sequence wider = random_sequence(small_shape(1, 4, 4), 1, 8, 23);
  CHECK_THROWS_WITH(cache.attend(wider.step(0, 4, 5)), Catch::Contains("like the cache's"));
  CHECK_THROWS_AS(FullKvCache(0), std::invalid_argument);
  CHECK(cache.next_position() == 4);
}

}  // namespace
}  // namespace headscope::runtime
