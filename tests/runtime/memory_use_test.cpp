// Stated bytes against what the allocator really holds.
#include "runtime/memory_use.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "outputs/input_error.h"
#include "runtime/compressor.h"
#include "tests/runtime/attention_steps.h"
#include "tests/support/thread_count.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::random_sequence;
using test::small_shape;

// Counts the bytes of all live CPU tensors while it stands in for the process's
// allocator.
class CountingAllocator final : public c10::Allocator {
 public:
  CountingAllocator() : base_(c10::GetDefaultCPUAllocator()) {}

  c10::DataPtr allocate(size_t bytes) override {
    auto* block = new Block{base_->allocate(bytes), static_cast<int64_t>(bytes), this};
    live_ += block->bytes;
    most_ = std::max(most_, live_);
    return {block->data.get(), block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

  [[nodiscard]] int64_t live() const { return live_; }
  [[nodiscard]] int64_t most() const { return most_; }
  void forget_most() { most_ = live_; }

 private:
  struct Block {
    c10::DataPtr data;
    int64_t bytes;
    CountingAllocator* owner;
  };
  static void release(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    block->owner->live_ -= block->bytes;
  }

  c10::Allocator* base_;
  int64_t live_ = 0;
  int64_t most_ = 0;
};

// Tests that read it run on one thread: counting needs no lock then, and kernels no scratch each.
// Set once for the whole program: tensors may outlive a test case.
CountingAllocator& counting_allocator() {
  static auto* allocator = [] {
    auto* made = new CountingAllocator;
    c10::SetCPUAllocator(made, /*priority=*/255);
    return made;
  }();
  return *allocator;
}

BudgetPlan mixed_plan(const ModelShape& shape) {
  BudgetPlan plan = uniform_plan("snapkv", shape, 100);
  plan.budget_tokens[0] = {40, 400};
  plan.budget_tokens[1] = {2000, 2000};
  plan.budget_tokens[2] = {7, 0};
  return plan;
}

TEST_CASE(
    "a plan's predicted bytes are what the cache holds and what the "
    "allocator gave",
    "[runtime]") {
  const testing::ThreadCount one_thread(1);
  CountingAllocator& allocator = counting_allocator();
  for (const int64_t prompt : {5, 60, 300, 1000}) {
    for (const int64_t batch : {1, 2}) {
      for (const int64_t chunk : {64, 1000}) {
        INFO("prompt " << prompt << ", batch " << batch << ", chunk " << chunk);
        test::Sequence sequence =
            random_sequence(small_shape(4, 4, 2, 16), batch, prompt + 30, 701);
        sequence.shape.attention_window = {0, 0, 0, 50};
        const BudgetPlan plan = mixed_plan(sequence.shape);
        const auto cache = make_cache(plan);
        const int64_t before = allocator.live();
        feed_prompt(*cache, sequence, prompt, chunk);
        // Beyond keys and values: next append slots of each row, 8 bytes each.
        const int64_t rows = batch * 2 * 4;
        const int64_t held = allocator.live() - before;
        CHECK(cache->bytes_held() == planned_kv_bytes(plan, prompt, 4, batch));
        CHECK(held >= cache->bytes_held());
        CHECK(held <= cache->bytes_held() + 8 * rows);
        for (int64_t position = prompt; position < prompt + 30; ++position) {
          feed(*cache, sequence, position, position + 1);
        }
        CHECK(allocator.live() - before >= cache->bytes_held());
        CHECK(allocator.live() - before <= cache->bytes_held() + 8 * rows);
      }
    }
  }
}

// Beyond keys and values: where each row appends (8 bytes), and how many tokens a compensation
// token stands for (4).
TEST_CASE("the stated bytes are what the allocator gave, under every method", "[runtime]") {
  const testing::ThreadCount one_thread(1);
  CountingAllocator& allocator = counting_allocator();
  constexpr int64_t kPrompt = 400;
  for (const EvictionPolicy& policy : eviction_policies()) {
    for (const int64_t batch : {1, 2}) {
      INFO(policy.name << ", batch " << batch << ", seed 703");
      test::Sequence sequence = random_sequence(small_shape(4, 4, 2, 16), batch, kPrompt + 30, 703);
      sequence.shape.attention_window = {0, 0, 0, 50};
      BudgetPlan plan = uniform_plan(std::string(policy.name), sequence.shape, 60);
      plan.budget_tokens[1] = {30, 90};
      if (policy.needs_selector_heads) plan.selector_heads.assign(4, {3, 0});
      const int64_t before = allocator.live();
      const auto cache = make_cache(plan);
      feed_prompt(*cache, sequence, kPrompt, 128);
      const int64_t rows = batch * 2 * 4;
      const int64_t held = allocator.live() - before;
      CHECK(held >= cache->bytes_held());
      CHECK(held <= cache->bytes_held() + 12 * rows);
      const int64_t planned = planned_kv_bytes(plan, kPrompt, 4, batch);
      // Where heads compete their lengths differ from the plan's, and with them a row's slack.
      const int64_t slack = policy.scope == BudgetScope::kKvHead ? 0 : rows * 64 * 2 * 16 * 4;
      CHECK(std::abs(planned - cache->bytes_held()) <= slack);
      const int64_t full =
          planned_kv_bytes(uniform_plan("full", sequence.shape, 1), kPrompt, 4, batch);
      if (policy.evicts) CHECK(cache->bytes_held() * 4 < full);
      for (int64_t position = kPrompt; position < kPrompt + 30; ++position) {
        feed(*cache, sequence, position, position + 1);
      }
      CHECK(allocator.live() - before >= cache->bytes_held());
      CHECK(allocator.live() - before <= cache->bytes_held() + 12 * rows);
    }
  }
}

TEST_CASE("memory is given back layer by layer in the prompt's last pass", "[runtime]") {
  const testing::ThreadCount one_thread(1);
  CountingAllocator& allocator = counting_allocator();
  constexpr int64_t kPrompt = 2048;
  constexpr int64_t kLayers = 16;
  const test::Sequence sequence = random_sequence(small_shape(kLayers, 2, 1, 32), 1, kPrompt, 702);
  const BudgetPlan plan = uniform_plan("streaming", sequence.shape, 64);
  const auto cache = make_cache(plan);
  const int64_t before = allocator.live();
  cache->expect_prompt(kPrompt);
  feed(*cache, sequence, 0, kPrompt - 32);
  const int64_t full_bytes = cache->bytes_held();
  CHECK(full_bytes >= full_kv_bytes(sequence.shape, kPrompt, 4));
  allocator.forget_most();
  cache->expect_end_of_prompt();
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    cache->attend(sequence.step(layer, kPrompt - 32, kPrompt));
    const int64_t still_full = (kLayers - 1 - layer) * full_bytes / kLayers;
    CHECK(cache->bytes_held() <= still_full + planned_kv_bytes(plan, kPrompt, 4));
    CHECK(allocator.live() - before <= still_full + planned_kv_bytes(plan, kPrompt, 4) + 65536);
  }
  // Never more than the full cache, one layer's kept part and the scratch of
  // one attention call.
  CHECK(allocator.most() - before <= full_bytes + full_bytes / kLayers);
  CHECK(cache->bytes_held() * 20 < full_bytes);
}

TEST_CASE("a long prompt is read in the memory of what is held and one pass", "[runtime]") {
  const testing::ThreadCount one_thread(1);
  CountingAllocator& allocator = counting_allocator();
  constexpr int64_t kPrompt = 4096;
  constexpr int64_t kHeld = 256;
  constexpr int64_t kChunk = 128;
  constexpr int64_t kLayers = 8;
  const test::Sequence sequence = random_sequence(small_shape(kLayers, 2, 1, 32), 1, kPrompt, 703);
  const BudgetPlan plan = uniform_plan("snapkv", sequence.shape, 64);
  CompressingKvCache cache(plan, {.prefill_tokens = kHeld});
  const int64_t layer_bytes = 2 * 32 * 4 * full_capacity(kHeld + kChunk);
  const int64_t before = allocator.live();
  allocator.forget_most();
  cache.expect_prompt(kPrompt);
  feed_prompt(cache, sequence, kPrompt, kChunk);
  // What a layer holds at most, in all layers; one layer twice while it is moved; and the
  // attention of one call with its scratch.
  const int64_t scratch = 1 << 19;
  CHECK(allocator.most() - before <= (kLayers + 1) * layer_bytes + scratch);
  CHECK(allocator.most() - before < full_kv_bytes(sequence.shape, kPrompt, 4) / 4);
  CHECK(cache.bytes_held() == planned_kv_bytes(plan, kPrompt, 4));
}

TEST_CASE("full bytes are tokens times the model's bytes per token", "[runtime]") {
  const ModelShape shape = small_shape(30, 9, 3, 64);
  CHECK(full_kv_bytes(shape, 1, 4) == 46080);
  CHECK(full_kv_bytes(shape, 1000, 2, 3) == int64_t{1000} * 3 * 23040);
  CHECK_THROWS_AS(planned_kv_bytes(BudgetPlan{}, 10, 4), InputError);
}

}  // namespace
}  // namespace headscope::runtime
