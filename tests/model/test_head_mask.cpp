#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/head_mask.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"
#include "tests/model/tiny_configs.h"
#include "tests/support/memory_weights.h"
#include "tests/support/naive_kv_cache.h"

namespace headscope::model {
namespace {

using testing::MemoryWeights;
using testing::random_tensors;
using testing::tiny_config;

constexpr uint64_t kSeed = 20250713;
constexpr int64_t kPromptTokens = 90;
constexpr int64_t kDecodeSteps = 5;
// Float32 sums of a few dozen terms of size 1 in two orders; a head more or less is above 0.01.
constexpr double kBound = 1e-5;

std::vector<int64_t> random_ids(int64_t count, int64_t vocab_size) {
  at::Generator generator = at::detail::createCPUGenerator(kSeed);
  const at::Tensor ids = at::randint(0, vocab_size, {count}, generator, at::kLong);
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + count};
}

struct Logits {
  at::Tensor prefill;  // [kPromptTokens, vocab]
  at::Tensor decode;   // [kDecodeSteps, vocab]
};

// A prompt in two chunks, then single steps.
Logits run(const Decoder& decoder, runtime::KvCache& cache, const HeadMask* mask) {
  const auto ids = random_ids(kPromptTokens + kDecodeSteps, decoder.config().vocab_size);
  const std::span<const int64_t> prompt(ids.data(), kPromptTokens);
  Logits logits;
  logits.prefill = decoder
                       .prefill(prompt, cache,
                                {.chunk_tokens = 20, .logits = LogitRows::kAll, .head_mask = mask})
                       .squeeze(0);
  std::vector<at::Tensor> steps;
  for (size_t i = kPromptTokens; i < ids.size(); ++i) {
    steps.push_back(decoder.forward(at::full({1, 1}, ids[i], at::kLong), cache, {.head_mask = mask})
                        .squeeze(0));
  }
  logits.decode = at::cat(steps, 0);
  return logits;
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a - b).abs().max().item<double>();
}

// The same model without the heads: their columns of the output projection are cleared, and what
// the columns make of the replacement is added as a bias (the config must have one).
std::map<std::string, at::Tensor> tensors_without(const ModelConfig& config,
                                                  const std::vector<MaskedHead>& heads) {
  std::map<std::string, at::Tensor> tensors = random_tensors(config, kSeed);
  for (const MaskedHead& masked : heads) {
    const std::string prefix = "model.layers." + std::to_string(masked.head.layer) + ".self_attn.";
    const at::Tensor columns = tensors.at(prefix + "o_proj.weight")
                                   .narrow(1, masked.head.head * config.head_dim, config.head_dim);
    if (masked.replacement.defined()) {
      tensors.at(prefix + "o_proj.bias").add_(at::mv(columns, masked.replacement));
    }
    columns.zero_();
  }
  return tensors;
}

Decoder decoder_of(const ModelConfig& config, std::map<std::string, at::Tensor> tensors) {
  return Decoder(config, MemoryWeights(std::move(tensors)), at::kFloat, at::kCPU);
}

HeadMask mask_of(const ModelConfig& config, const std::vector<MaskedHead>& heads) {
  return {config.shape(), at::kFloat, at::kCPU, heads};
}

std::vector<std::unique_ptr<runtime::KvCache>> every_kind_of_cache(const ModelConfig& config) {
  std::vector<std::unique_ptr<runtime::KvCache>> caches;
  caches.push_back(std::make_unique<runtime::FullKvCache>(config.num_layers));
  caches.push_back(std::make_unique<testing::NaiveKvCache>(config.num_layers));
  for (const std::string method : {"snapkv", "streaming"}) {
    BudgetPlan plan = runtime::uniform_plan(method, config.shape(), 30);
    caches.push_back(runtime::make_cache(plan));
  }
  return caches;
}

void check_against_oracle(const ModelConfig& config, const std::vector<MaskedHead>& heads) {
  const Decoder plain = decoder_of(config, random_tensors(config, kSeed));
  const Decoder without = decoder_of(config, tensors_without(config, heads));
  const HeadMask mask = mask_of(config, heads);
  auto caches = every_kind_of_cache(config);
  auto oracle_caches = every_kind_of_cache(config);
  for (size_t kind = 0; kind < caches.size(); ++kind) {
    INFO("cache " << kind << ", " << config.num_query_heads << " query heads, "
                  << config.num_kv_heads << " KV heads, seed " << kSeed);
    const Logits masked = run(plain, *caches[kind], &mask);
    const Logits expected = run(without, *oracle_caches[kind], nullptr);
    CHECK(gap(masked.prefill, expected.prefill) < kBound);
    CHECK(gap(masked.decode, expected.decode) < kBound);
    runtime::FullKvCache whole(config.num_layers);
    CHECK(gap(run(plain, whole, nullptr).prefill, masked.prefill) > 0.01);
  }
}

}  // namespace

TEST_CASE("a head masked to zero is a head whose output is not read, in prefill and decode",
          "[model]") {
  for (const auto& [query_heads, kv_heads] :
       std::vector<std::pair<int64_t, int64_t>>{{4, 4}, {4, 2}, {5, 1}, {14, 2}, {8, 1}}) {
    const ModelConfig config = tiny_config(query_heads, kv_heads);
    check_against_oracle(config, {{{0, query_heads - 1}, {}}});
    check_against_oracle(config, {{{1, 0}, {}}, {{0, 1}, {}}, {{1, query_heads / 2}, {}}});
  }
}

TEST_CASE("a head masked to a mean adds the same everywhere, in prefill and decode", "[model]") {
  ModelConfig config = tiny_config(6, 2);
  config.output_bias = true;
  at::Generator generator = at::detail::createCPUGenerator(kSeed + 1);
  const at::Tensor first = at::randn({config.head_dim}, generator, at::kFloat);
  const at::Tensor second = at::randn({config.head_dim}, generator, at::kFloat);
  check_against_oracle(config, {{{0, 5}, first}, {{1, 2}, second}, {{1, 1}, {}}});
}

TEST_CASE("a mask of no head changes no bit", "[model]") {
  const ModelConfig config = tiny_config();
  const Decoder decoder = decoder_of(config, random_tensors(config, kSeed));
  const HeadMask nothing = mask_of(config, {});
  runtime::FullKvCache with(config.num_layers), without(config.num_layers);
  const Logits a = run(decoder, with, &nothing);
  const Logits b = run(decoder, without, nullptr);
  CHECK(at::equal(a.prefill, b.prefill));
  CHECK(at::equal(a.decode, b.decode));
}

TEST_CASE("a mask leaves other heads, other layers and the cache's tensor as they are", "[model]") {
  const ModelConfig config = tiny_config(4, 2);
  const HeadMask mask = mask_of(config, {{{1, 2}, at::ones({config.head_dim})}});
  const at::Tensor z = at::randn({2, 4, 3, config.head_dim});
  const at::Tensor before = z.clone();
  CHECK(mask.apply(0, z).is_same(z));
  const at::Tensor masked = mask.apply(1, z);
  CHECK(at::equal(z, before));
  CHECK(at::equal(masked.select(1, 2), at::ones({2, 3, config.head_dim})));
  for (const int64_t head : {0, 1, 3}) {
    CHECK(at::equal(masked.select(1, head), z.select(1, head)));
  }
}

TEST_CASE("masks of heads that are not there are refused", "[model]") {
  const ModelConfig config = tiny_config();
  using Catch::Contains;
  CHECK_THROWS_WITH(mask_of(config, {{{2, 0}, {}}}), Contains("found 2-0"));
  CHECK_THROWS_WITH(mask_of(config, {{{0, 4}, {}}}), Contains("found 0-4"));
  CHECK_THROWS_WITH(mask_of(config, {{{0, 1}, {}}, {{0, 1}, {}}}), Contains("twice"));
  CHECK_THROWS_WITH(mask_of(config, {{{0, 1}, at::ones({3})}}), Contains("8 numbers"));
  const HeadMask mask = mask_of(config, {{{0, 1}, {}}});
  CHECK_THROWS_AS(mask.apply(0, at::zeros({1, 3, 2, 8})), std::invalid_argument);
  CHECK_THROWS_AS(mask.apply(0, at::zeros({1, 4, 2, 8}, at::kHalf)), std::invalid_argument);
  ModelConfig deeper = config;
  deeper.num_layers = 3;
  deeper.attention_window.assign(3, 0);
  const Decoder decoder = decoder_of(deeper, random_tensors(deeper, kSeed));
  runtime::FullKvCache cache(3);
  CHECK_THROWS_WITH(decoder.forward(at::zeros({1, 1}, at::kLong), cache, {.head_mask = &mask}),
                    Contains("2 layers, expected 3"));
}

}  // namespace headscope::model
