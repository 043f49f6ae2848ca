// Sequences of different lengths in one batch: each must fare as it would alone.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/compressor.h"
#include "runtime/memory_use.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::largest_difference;
using test::random_sequence;
using test::Sequence;
using test::small_shape;

constexpr int64_t kLayers = 2;
constexpr int64_t kPrompt = 90;
// One sequence without padding, one shorter than most budgets, one shorter than the window.
const std::vector<int64_t> kPadding = {0, 30, 71, 85};

// Padding holds keys that would win every softmax, and values that would show.
Sequence padded_sequence(uint64_t seed) {
  Sequence sequence = random_sequence(small_shape(kLayers, 4, 2), 4, 130, seed);
  for (size_t layer = 0; layer < kLayers; ++layer) {
    for (size_t b = 0; b < kPadding.size(); ++b) {
      const auto s = static_cast<int64_t>(b);
      sequence.k[layer][s].slice(1, 0, kPadding[b]).mul_(1000.0);
      sequence.v[layer][s].slice(1, 0, kPadding[b]).fill_(1e6);
    }
  }
  return sequence;
}

Sequence alone(const Sequence& batch, int64_t sequence) {
  Sequence one = batch;
  const int64_t padding = kPadding[static_cast<size_t>(sequence)];
  for (std::vector<at::Tensor>* tensors : {&one.q, &one.k, &one.v}) {
    for (at::Tensor& t : *tensors) {
      t = t.slice(0, sequence, sequence + 1).slice(2, padding);
    }
  }
  return one;
}

// Last rows of the batch's attention against those of each sequence alone.
void require_as_alone(const std::vector<LayerAttention>& batch,
                      const std::vector<LayerAttention>& one,
                      int64_t sequence) {
  for (size_t layer = 0; layer < kLayers; ++layer) {
    INFO("sequence " << sequence << ", layer " << layer);
    const int64_t rows = std::min(batch[layer].z.size(2), one[layer].z.size(2));
    REQUIRE(largest_difference(batch[layer].z[sequence].slice(1, -rows),
                               one[layer].z[0].slice(1, -rows)) < 1e-5);
    REQUIRE(largest_difference(batch[layer].lse[sequence].slice(1, -rows),
                               one[layer].lse[0].slice(1, -rows)) < 1e-5);
  }
}

TEST_CASE("a padded sequence attends as it does alone", "[runtime]") {
  for (const int64_t window : {0, 20}) {
    for (const int64_t chunk : {16, 90}) {
      INFO("window " << window << ", chunk " << chunk);
      Sequence batch = padded_sequence(801);
      batch.shape.attention_window = {0, window};
      FullKvCache together(kLayers);
      together.expect_padding(kPadding);
      const auto prompt = feed_prompt(together, batch, kPrompt, chunk);
      CHECK(together.next_position() == kPrompt);
      const auto next = feed(together, batch, kPrompt, kPrompt + 1);
      for (int64_t b = 0; b < 4; ++b) {
        const Sequence one = alone(batch, b);
        const int64_t length = kPrompt - kPadding[static_cast<size_t>(b)];
        FullKvCache cache(kLayers);
        require_as_alone(prompt, feed_prompt(cache, one, length, 1000), b);
        require_as_alone(next, feed(cache, one, length, length + 1), b);
      }
      // Rows of padding say nothing, whatever stands there.
      CHECK(at::isfinite(prompt.back().z).all().item<bool>());
    }
  }
}

TEST_CASE("padding is neither scored nor retained", "[runtime]") {
  for (const std::string method : {"streaming", "snapkv", "compresskv"}) {
    for (const int64_t chunk : {25, 90}) {
      for (const bool afterwards : {false, true}) {
        INFO(method << ", chunk " << chunk << ", afterwards " << afterwards);
        Sequence batch = padded_sequence(802);
        batch.shape.attention_window = {0, 40};
        BudgetPlan plan = uniform_plan(method, batch.shape, 24);
        plan.budget_tokens[0] = {24, 40};
        if (method == "compresskv") plan.selector_heads = {{3, 0}, {1}};
        CompressingKvCache during(plan);
        FullKvCache full(kLayers, {.reserve_tokens = 0, .window_tokens = 8});
        during.expect_padding(kPadding);
        full.expect_padding(kPadding);
        feed_prompt(during, batch, kPrompt, chunk);
        feed_prompt(full, batch, kPrompt, chunk);
        const auto copied = compress(full, plan);
        const RaggedKvCache& kept = afterwards ? *copied : during.retained();
        KvCache& cache = afterwards ? static_cast<KvCache&>(*copied) : during;
        const auto next = feed(cache, batch, kPrompt, kPrompt + 1);
        for (int64_t b = 0; b < 4; ++b) {
          const Sequence one = alone(batch, b);
          const int64_t length = kPrompt - kPadding[static_cast<size_t>(b)];
          const auto single = make_cache(plan);
          feed_prompt(*single, one, length, 1000);
          require_as_alone(next, feed(*single, one, length, length + 1), b);
          for (int64_t layer = 0; layer < kLayers; ++layer) {
            for (int64_t head = 0; head < 2; ++head) {
              CHECK(kept.retained_positions(layer, head, b) ==
                    single->retained().retained_positions(layer, head));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a padded batch whose prompts all fit attends as the full cache, bit for bit",
          "[runtime]") {
  const Sequence batch = padded_sequence(803);
  const auto cache = make_cache(uniform_plan("snapkv", batch.shape, kPrompt));
  FullKvCache full(kLayers);
  cache->expect_padding(kPadding);
  full.expect_padding(kPadding);
  feed_prompt(*cache, batch, kPrompt, 40);
  feed_prompt(full, batch, kPrompt, 40);
  for (int64_t position = kPrompt; position < 100; ++position) {
    const auto expected = feed(full, batch, position, position + 1);
    const auto found = feed(*cache, batch, position, position + 1);
    REQUIRE(at::equal(expected[1].z, found[1].z));
  }
  CHECK(cache->retained().retained_positions(1, 0, 3).size() == 5 + 10);
  CHECK(cache->retained().retained_positions(1, 0, 3).front() == 0);
}

TEST_CASE("a plan's bytes are stated for sequences of different lengths", "[runtime]") {
  Sequence batch = padded_sequence(804);
  batch.shape.attention_window = {0, 40};
  std::vector<int64_t> lengths;
  for (const int64_t padding : kPadding) lengths.push_back(kPrompt - padding);
  for (const int64_t budget : {4, 24, 95}) {
    INFO("budget " << budget);
    const BudgetPlan plan = uniform_plan("snapkv", batch.shape, budget);
    const auto cache = make_cache(plan);
    cache->expect_padding(kPadding);
    feed_prompt(*cache, batch, kPrompt, 40);
    CHECK(cache->bytes_held() == planned_kv_bytes(plan, lengths, 4));
  }
}

TEST_CASE("padding that does not fit the batch, or comes too late, is refused", "[runtime]") {
  const Sequence batch = padded_sequence(805);
  FullKvCache cache(kLayers);
  CHECK_THROWS_AS(cache.expect_padding({0, -1, 0, 0}), std::invalid_argument);
  cache.expect_padding({3, 0});
  CHECK_THROWS_WITH(feed(cache, batch, 0, 5), Catch::Contains("whose padding was told"));
  FullKvCache begun(kLayers);
  feed(begun, batch, 0, 5);
  CHECK_THROWS_AS(begun.expect_padding(kPadding), std::logic_error);
  const auto compressed = make_cache(uniform_plan("snapkv", batch.shape, 16));
  feed_prompt(*compressed, batch, kPrompt, 90);
  CHECK_THROWS_AS(compressed->expect_padding(kPadding), std::logic_error);
}

}  // namespace
}  // namespace headscope::runtime
