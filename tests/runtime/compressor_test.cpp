#include "runtime/compressor.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "outputs/input_error.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::random_sequence;
using test::small_shape;

constexpr int64_t kLayers = 3;
constexpr int64_t kPrompt = 120;

BudgetPlan plan_for(const std::string& method, const ModelShape& shape, int64_t budget) {
  BudgetPlan plan = uniform_plan(method, shape, budget);
  if (find_policy(method).needs_selector_heads) {
    plan.selector_heads.assign(static_cast<size_t>(shape.num_layers), {3, 0});
  }
  return plan;
}

std::vector<std::string> evicting_methods() {
  std::vector<std::string> names;
  for (const EvictionPolicy& policy : eviction_policies()) {
    if (policy.evicts) names.emplace_back(policy.name);
  }
  return names;
}

// The attention of every layer, bit for bit.
void require_equal(const std::vector<LayerAttention>& a, const std::vector<LayerAttention>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t layer = 0; layer < a.size(); ++layer) {
    INFO("layer " << layer);
    REQUIRE(at::equal(a[layer].z, b[layer].z));
    REQUIRE(at::equal(a[layer].lse, b[layer].lse));
  }
}

TEST_CASE("retention 1.0 changes nothing, bit for bit", "[runtime]") {
  for (const EvictionPolicy& policy : eviction_policies()) {
    for (const int64_t batch : {1, 2}) {
      for (const int64_t chunk : {50, 119, 120}) {
        for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
          INFO(policy.name << ", batch " << batch << ", chunk " << chunk);
          test::Sequence sequence =
              random_sequence(small_shape(kLayers, 4, 2), batch, 220, 601, dtype);
          sequence.shape.attention_window = {0, 30, 0};
          FullKvCache full(kLayers, {.reserve_tokens = 0, .window_tokens = 8});
          const BudgetPlan plan = plan_for(std::string(policy.name), sequence.shape,
                                           budget_for_retention(1.0, kPrompt));
          const auto cache = make_cache(plan);
          require_equal(feed_prompt(full, sequence, kPrompt, chunk),
                        feed_prompt(*cache, sequence, kPrompt, chunk));
          const auto copied = compress(full, plan);
          // Decoding, drafts of three, and long enough to outgrow the storage.
          for (int64_t position = kPrompt; position < 210;) {
            const int64_t end = position + (position % 10 == 0 ? 3 : 1);
            const auto expected = feed(full, sequence, position, end);
            require_equal(expected, feed(*cache, sequence, position, end));
            require_equal(expected, feed(*copied, sequence, position, end));
            position = end;
          }
        }
      }
    }
  }
}

TEST_CASE("layers of which nothing was evicted attend as a full cache does", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(kLayers, 4, 2), 1, 140, 602);
  BudgetPlan plan = plan_for("snapkv", sequence.shape, 30);
  plan.budget_tokens[1] = {kPrompt, kPrompt + 50};
  FullKvCache full(kLayers);
  const auto cache = make_cache(plan);
  feed_prompt(full, sequence, kPrompt, 64);
  feed_prompt(*cache, sequence, kPrompt, 64);
  CHECK(cache->retained().is_evicted(0));
  CHECK_FALSE(cache->retained().is_evicted(1));
  for (int64_t position = kPrompt; position < 140; ++position) {
    const auto expected = feed(full, sequence, position, position + 1);
    const auto found = feed(*cache, sequence, position, position + 1);
    CHECK(at::equal(expected[1].z, found[1].z));
    CHECK_FALSE(at::equal(expected[0].z, found[0].z));
  }
}

TEST_CASE("a short prompt is left untouched", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(2, 4, 2), 1, 64, 603);
  for (const std::string& method : evicting_methods()) {
    for (const int64_t prompt : {1, 5, 8, 31, 32}) {
      INFO(method << ", prompt " << prompt);
      const auto cache = make_cache(plan_for(method, sequence.shape, 32));
      feed_prompt(*cache, sequence, prompt, 64);
      CHECK(static_cast<int64_t>(cache->retained().retained_positions(1, 1).size()) == prompt);
      CHECK_FALSE(cache->retained().is_evicted(1));
    }
    const auto cache = make_cache(plan_for(method, sequence.shape, 32));
    feed_prompt(*cache, sequence, 33, 64);
    CHECK((cache->retained().is_evicted(0) || cache->retained().is_evicted(1)));
  }
}

TEST_CASE("methods that look beyond the keys held refuse to judge them again, or padded",
          "[runtime]") {
  const ModelShape shape = small_shape(2, 4, 2);
  for (const std::string& method : evicting_methods()) {
    const EvictionPolicy& policy = find_policy(method);
    const BudgetPlan plan = plan_for(method, shape, 40);
    const std::vector<CompressorOptions> repeated{{.prefill_tokens = 64},
                                                  {.decode_tokens = 8},
                                                  {.compress_turns = true},
                                                  {.drift_sentinels = 2}};
    INFO(method);
    if (judges_by_held_keys(policy)) {
      for (const CompressorOptions& options : repeated) CHECK_NOTHROW(make_cache(plan, options));
      CHECK_NOTHROW(make_cache(plan)->expect_padding({0, 3}));
      continue;
    }
    for (const CompressorOptions& options : repeated) {
      CHECK_THROWS_AS(make_cache(plan, options), InputError);
    }
    CHECK_THROWS_WITH(make_cache(plan)->expect_padding({0, 3}), Catch::Contains(method));
    CHECK_NOTHROW(make_cache(plan)->expect_padding({0, 0}));
  }
  for (const char* method : {"h2o", "adakv", "kvcompress", "razor"}) {
    CHECK_FALSE(judges_by_held_keys(find_policy(method)));
  }
  for (const char* method : {"snapkv", "compresskv", "streaming", "headkv"}) {
    CHECK(judges_by_held_keys(find_policy(method)));
  }
}

TEST_CASE("compressing in the last pass and afterwards give the same cache", "[runtime]") {
  for (const std::string& method : evicting_methods()) {
    const EvictionPolicy& policy = find_policy(method);
    const size_t stand_in = policy.compensates ? 1 : 0;
    // A last pass of one token: the window lies in two chunks.
    for (const int64_t chunk : {119, 117, 120, 30}) {
      for (const int64_t batch : {1, 2}) {
        INFO(method << ", chunk " << chunk << ", batch " << batch);
        const test::Sequence sequence =
            random_sequence(small_shape(kLayers, 4, 2), batch, 140, 604);
        const BudgetPlan plan = plan_for(method, sequence.shape, 40);
        FullKvCache full(kLayers, full_cache_options(plan));
        const auto during = make_cache(plan);
        // The prompt's own attention is that of the full cache.
        require_equal(feed_prompt(full, sequence, kPrompt, chunk),
                      feed_prompt(*during, sequence, kPrompt, chunk));
        const auto after = compress(full, plan);
        CHECK(after->next_position() == kPrompt);
        for (int64_t layer = 0; layer < kLayers; ++layer) {
          for (int64_t head = 0; head < 2; ++head) {
            const auto kept = after->retained_positions(layer, head, batch - 1);
            if (policy.scope == BudgetScope::kKvHead) CHECK(kept.size() == 40 - stand_in);
            CHECK(kept == during->retained().retained_positions(layer, head, batch - 1));
          }
        }
        for (int64_t position = kPrompt; position < 140; ++position) {
          require_equal(feed(*during, sequence, position, position + 1),
                        feed(*after, sequence, position, position + 1));
        }
        CHECK(during->next_position() == 140);
        // The full cache is as it was: one prefill serves many methods.
        CHECK(full.next_position() == kPrompt);
        CHECK(at::equal(full.keys(2), sequence.k[2].slice(2, 0, kPrompt)));
      }
    }
  }
}

TEST_CASE("keys keep their values and positions through eviction", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 130, 605);
  const auto cache = make_cache(plan_for("streaming", sequence.shape, 20));
  feed_prompt(*cache, sequence, kPrompt, 120);
  // A query that only key 2 answers finds value 2.
  LayerStep step = sequence.step(0, kPrompt, kPrompt + 1);
  step.q = sequence.k[0].slice(2, 2, 3).repeat_interleave(2, 1) * 1000.0;
  const at::Tensor z = cache->attend(step).z;
  const at::Tensor self = (step.q * step.k.repeat_interleave(2, 1)).sum(-1);
  const at::Tensor match = (step.q * sequence.k[0].slice(2, 2, 3).repeat_interleave(2, 1)).sum(-1);
  REQUIRE((match > self).all().item<bool>());
  const auto kept = cache->retained().retained_positions(0, 0);
  const at::Tensor keys = sequence.k[0].index_select(2, at::tensor(kept, at::kLong));
  const at::Tensor best =
      at::einsum("bhnd,bhsd->bhns", {step.q.slice(1, 0, 4, 2), keys}).argmax(-1);
  for (int64_t head = 0; head < 2; ++head) {
    const int64_t position = kept[static_cast<size_t>(best[0][head][0].item<int64_t>())];
    CHECK(test::largest_difference(z[0][2 * head][0], sequence.v[0][0][head][position]) < 1e-4);
  }
}

TEST_CASE("a sliding window's layer keeps no more than its next query sees", "[runtime]") {
  test::Sequence sequence = random_sequence(small_shape(kLayers, 4, 2), 1, 200, 606);
  sequence.shape.attention_window = {0, 33, 33};
  BudgetPlan plan = plan_for("snapkv", sequence.shape, 60);
  plan.budget_tokens[2] = {16, 20};
  const auto cache = make_cache(plan);
  feed_prompt(*cache, sequence, kPrompt, 50);
  const RaggedKvCache& kept = cache->retained();
  CHECK(kept.retained_positions(0, 0).size() == 60);
  CHECK(kept.retained_positions(1, 0).size() == 32);
  CHECK(kept.retained_positions(1, 0).front() == kPrompt - 32);
  CHECK(kept.retained_positions(2, 0).size() == 16);
  CHECK(kept.retained_positions(2, 0).front() >= kPrompt - 32);
  CHECK(kept.retained_positions(2, 1).back() == kPrompt - 1);
  // Layer 1 lost nothing that it can see: its attention is the full cache's.
  FullKvCache full(kLayers);
  feed_prompt(full, sequence, kPrompt, 50);
  for (int64_t position = kPrompt; position < 180; position += 3) {
    const auto expected = feed(full, sequence, position, position + 3);
    const auto found = feed(*cache, sequence, position, position + 3);
    REQUIRE(test::largest_difference(expected[1].z, found[1].z) < 1e-5);
  }
}

TEST_CASE("a second turn is appended, not compressed", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 200, 607);
  const auto cache = make_cache(plan_for("snapkv", sequence.shape, 30));
  feed_prompt(*cache, sequence, kPrompt, 64);
  cache->expect_end_of_prompt();
  feed(*cache, sequence, kPrompt, 160);
  CHECK(cache->retained().retained_positions(0, 0).size() == 30 + 40);
  cache->truncate(130);
  CHECK(cache->next_position() == 130);
}

TEST_CASE("plans that lack what their method needs are refused", "[runtime]") {
  const ModelShape shape = small_shape(2, 4, 2);
  CHECK_THROWS_WITH(make_cache(uniform_plan("compresskv", shape, 30)),
                    Catch::Contains("selector_heads"));
  CHECK_THROWS_WITH(make_cache(uniform_plan("snapkv", shape, 30, SelectionOptions{0})),
                    Catch::Contains("observation_window"));
  CHECK_THROWS_AS(uniform_plan("no-such-method", shape, 30), InputError);
  CHECK_THROWS_AS(uniform_plan("snapkv", shape, 0), InputError);
  BudgetPlan wrong = uniform_plan("snapkv", shape, 30);
  wrong.budget_tokens.pop_back();
  CHECK_THROWS_AS(make_cache(wrong), InputError);
}

TEST_CASE("compress says when the window's queries are not there", "[runtime]") {
  const test::Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 140, 608);
  const BudgetPlan plan = plan_for("snapkv", sequence.shape, 30);
  FullKvCache forgetful(1);
  CHECK_THROWS_AS(compress(forgetful, plan), std::invalid_argument);
  feed_prompt(forgetful, sequence, kPrompt, 64);
  CHECK_THROWS_WITH(compress(forgetful, plan), Catch::Contains("window_tokens"));
  FullKvCache gone_on(1, {.reserve_tokens = 0, .window_tokens = 8});
  feed_prompt(gone_on, sequence, kPrompt, 64);
  feed(gone_on, sequence, kPrompt, kPrompt + 2);
  CHECK_THROWS_AS(compress(gone_on, plan), std::invalid_argument);
  gone_on.truncate(kPrompt);
  CHECK(compress(gone_on, plan)->next_position() == kPrompt);
  CHECK_THROWS_AS(make_cache(plan)->retained(), std::logic_error);
}

TEST_CASE("retention becomes tokens to the nearest", "[runtime]") {
  CHECK(budget_for_retention(1.0, 1234) == 1234);
  CHECK(budget_for_retention(0.29, 100) == 29);
  CHECK(budget_for_retention(0.1, 1024) == 102);
  CHECK(budget_for_retention(0.0001, 10) == 1);
  CHECK_THROWS_AS(budget_for_retention(0.0, 10), InputError);
  CHECK_THROWS_AS(budget_for_retention(1.5, 10), InputError);
  CHECK_THROWS_AS(budget_for_retention(std::nan(""), 10), InputError);
}

}  // namespace
}  // namespace headscope::runtime
