#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "model/generate.h"
#include "outputs/input_error.h"
#include "runtime/full_kv_cache.h"
#include "tests/model/tiny_configs.h"
#include "tests/support/memory_weights.h"

namespace headscope::model {
namespace {

using runtime::FullKvCache;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("greedy sampling takes the largest logit, the lower id among equals", "[model]") {
  Sampler sampler({});
  CHECK(sampler.next(at::tensor({0.5F, 2.0F, -1.0F, 2.0F})) == 1);
  CHECK(sampler.next(at::tensor({kNan, -3.0F, kNan, -2.0F})) == 3);
  CHECK_THROWS_AS(sampler.next(at::tensor({kNan, kNan})), InputError);
}

std::map<int64_t, double> frequencies(const SamplingOptions& options, const at::Tensor& logits) {
  Sampler sampler(options);
  std::map<int64_t, double> share;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) share[sampler.next(logits)] += 1.0 / kDraws;
  return share;
}

TEST_CASE("sampling follows temperature, top-k and top-p", "[model]") {
  constexpr uint64_t kSeed = 11;
  INFO("seed " << kSeed);
  const at::Tensor logits = at::log(at::tensor({0.1F, 0.4F, 0.2F, 0.3F}));
  const double bound = 0.015;  // over four standard deviations of 20 000 draws
  auto share = frequencies({.temperature = 1.0, .seed = kSeed}, logits);
  CHECK(std::abs(share[0] - 0.1) < bound);
  CHECK(std::abs(share[1] - 0.4) < bound);
  CHECK(std::abs(share[2] - 0.2) < bound);
  CHECK(std::abs(share[3] - 0.3) < bound);
  share = frequencies({.temperature = 0.5, .seed = kSeed}, logits);  // squares the odds
  CHECK(std::abs(share[1] - 16.0 / 30) < bound);
  CHECK(std::abs(share[0] - 1.0 / 30) < bound);
  share = frequencies({.temperature = 1.0, .top_k = 2, .seed = kSeed}, logits);
  CHECK(share.size() == 2);
  CHECK(std::abs(share[1] - 4.0 / 7) < bound);
  share = frequencies({.temperature = 1.0, .top_p = 0.75, .seed = kSeed}, logits);
  CHECK(share.size() == 3);  // 0.4 + 0.3 fall short of 0.75, so the third joins
  CHECK(std::abs(share[2] - 2.0 / 9) < bound);
  share = frequencies({.temperature = 1.0, .top_p = 1e-9, .seed = kSeed}, logits);
  CHECK(share.size() == 1);
}

TEST_CASE("the same seed draws the same tokens, another seed others", "[model]") {
  const at::Tensor logits = at::zeros({1000});
  const auto draw = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1.0, .seed = seed});
    std::vector<int64_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(sampler.next(logits));
    return ids;
  };
  CHECK(draw(3) == draw(3));
  CHECK(draw(3) != draw(4));
}

TEST_CASE("sampling options out of their range are refused by name", "[model]") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(Sampler({.temperature = -0.1}), Contains("temperature"));
  CHECK_THROWS_WITH(Sampler({.top_k = -1}), Contains("top-k"));
  CHECK_THROWS_WITH(Sampler({.top_p = 0.0}), Contains("top-p"));
  CHECK_THROWS_WITH(Sampler({.top_p = 1.1}), Contains("top-p"));
}

Decoder tiny_decoder(int64_t max_positions) {
  ModelConfig config = testing::tiny_config();
  config.max_positions = max_positions;
  return Decoder(config, testing::MemoryWeights(testing::random_tensors(config, /*seed=*/5)),
                 at::kFloat, at::kCPU);
}

const std::vector<int64_t> kPrompt{4, 8, 15, 16, 23, 42};

TEST_CASE("generation stops for each of its reasons", "[model]") {
  const Decoder decoder = tiny_decoder(/*max_positions=*/16);
  const auto run = [&](const GenerateOptions& options) {
    FullKvCache cache(2);
    return generate(decoder, cache, kPrompt, options);
  };
  const GenerateResult five = run({.max_new_tokens = 5});
  CHECK(five.stop_reason == StopReason::kMaxNewTokens);
  REQUIRE(five.generated_ids.size() == 5);

  // 16 positions hold the prompt's 6 and 10 new tokens; the 11th is emitted but never fed back.
  const GenerateResult limited = run({.max_new_tokens = 100});
  CHECK(limited.stop_reason == StopReason::kPositionLimit);
  CHECK(limited.generated_ids.size() == 11);

  const GenerateResult stopped = run({.max_new_tokens = 5, .stop_ids = {five.generated_ids[2]}});
  CHECK(stopped.stop_reason == StopReason::kStopToken);
  CHECK(stopped.generated_ids.back() == five.generated_ids[2]);
  CHECK(stopped.generated_ids.size() <= 3);

  std::vector<int64_t> heard;
  const GenerateResult cancelled = run({.on_token = [&](int64_t id) { heard.push_back(id); },
                                        .is_cancelled = [&] { return heard.size() == 2; }});
  CHECK(cancelled.stop_reason == StopReason::kCancelled);
  CHECK(cancelled.generated_ids == heard);
  CHECK(heard == std::vector<int64_t>(five.generated_ids.begin(), five.generated_ids.begin() + 2));

  const GenerateResult none = run({.max_new_tokens = 0});
  CHECK(none.generated_ids.empty());
  CHECK(none.decode_tokens_per_second == 0.0);
  CHECK(none.prefill_seconds > 0.0);
}

TEST_CASE("greedy generation feeds back its own tokens", "[model]") {
  const Decoder decoder = tiny_decoder(/*max_positions=*/64);
  FullKvCache cache(2);
  const GenerateResult result = generate(decoder, cache, kPrompt, {.max_new_tokens = 12});
  std::vector<int64_t> all = kPrompt;
  for (const int64_t id : result.generated_ids) {
    FullKvCache fresh(2);
    CHECK(decoder.prefill(all, fresh).argmax().item<int64_t>() == id);
    all.push_back(id);
  }
}

class FakeTokenizer : public Tokenizer {
 public:
  [[nodiscard]] Encoding encode(std::string_view, const EncodeOptions&) const override {
    return {};
  }
  [[nodiscard]] std::string decode(const std::vector<int64_t>&, bool) const override { return ""; }
  [[nodiscard]] int64_t vocab_size() const override { return 100; }
  [[nodiscard]] std::string kind() const override { return "fake"; }
  [[nodiscard]] std::optional<int64_t> id_of(std::string_view token) const override {
    if (token == "<|im_end|>") return 90;
    if (token == "</s>") return 2;
    return std::nullopt;
  }
  [[nodiscard]] std::optional<int64_t> bos_id() const override { return 1; }
  [[nodiscard]] std::optional<int64_t> eos_id() const override { return 50; }
};

TEST_CASE("stop ids come from config, tokenizer and the known ends of a turn", "[model]") {
  ModelConfig config;
  config.eos_token_ids = {70, 2};
  CHECK(stop_ids(config, FakeTokenizer()) == std::vector<int64_t>{2, 50, 70, 90});
}

}  // namespace
}  // namespace headscope::model
