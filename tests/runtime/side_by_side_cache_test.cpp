// Caches of single sequences as one batch against each by itself.
#include "runtime/side_by_side_cache.h"

#include <catch2/catch.hpp>

#include "runtime/compressor.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime::test {
namespace {

constexpr uint64_t kSeed = 20261128;
constexpr int64_t kPrompt = 60;

}  // namespace

TEST_CASE("caches side by side answer as each does alone, whatever they keep", "[runtime]") {
  INFO("seed " << kSeed);
  const ModelShape shape = small_shape(2, 6, 2);
  const Sequence prompt = random_sequence(shape, 1, kPrompt, kSeed);
  FullKvCache full(shape.num_layers, {.window_tokens = 8});
  feed_prompt(full, prompt, kPrompt, 32);
  const auto make = [&] {
    std::vector<std::unique_ptr<KvCache>> caches;
    caches.push_back(full.fork());
    caches.push_back(compress(full, uniform_plan("snapkv", shape, 20)));
    caches.push_back(compress(full, uniform_plan("streaming", shape, 12)));
    return caches;
  };
  const auto alone = make(), together = make();
  SideBySideCache batch({together[0].get(), together[1].get(), together[2].get()});
  CHECK(batch.bytes_held() ==
        alone[0]->bytes_held() + alone[1]->bytes_held() + alone[2]->bytes_held());
  const Sequence next = random_sequence(shape, 3, 4, kSeed + 1);
  for (int64_t token = 0; token < 4; ++token) {
    for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
      const LayerStep step = next.step(layer, token, token + 1);
      const LayerAttention all = batch.attend(step);
      for (int64_t b = 0; b < 3; ++b) {
        LayerStep own = step;
        own.q = step.q.narrow(0, b, 1);
        own.k = step.k.narrow(0, b, 1);
        own.v = step.v.narrow(0, b, 1);
        const LayerAttention expected = alone[static_cast<size_t>(b)]->attend(own);
        CHECK(at::equal(all.z.narrow(0, b, 1), expected.z));
        CHECK(at::equal(all.lse.narrow(0, b, 1), expected.lse));
      }
    }
    CHECK(batch.next_position() == kPrompt + token + 1);
  }
}

TEST_CASE("caches that do not stand side by side are refused", "[runtime]") {
  const ModelShape shape = small_shape(1, 2, 1);
  const Sequence prompt = random_sequence(shape, 1, 10, kSeed);
  FullKvCache shorter(1), longer(1);
  feed_prompt(shorter, prompt, 9, 32);
  feed_prompt(longer, prompt, 10, 32);
  CHECK_THROWS_AS(SideBySideCache({}), std::invalid_argument);
  CHECK_THROWS_AS(SideBySideCache({&shorter, &longer}), std::invalid_argument);
  SideBySideCache one({&longer});
  CHECK_THROWS_AS(one.attend(random_sequence(shape, 2, 1, kSeed).step(0, 0, 1)),
                  std::invalid_argument);
}

}  // namespace headscope::runtime::test
