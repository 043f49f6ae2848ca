#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/trace_recorder.h"
#include "outputs/input_error.h"
#include "runtime/full_kv_cache.h"
#include "tests/model/reference_decoder.h"
#include "tests/model/tiny_configs.h"
#include "tests/support/memory_weights.h"
#include "tests/support/naive_kv_cache.h"
#include "tests/support/thread_count.h"

namespace headscope::model {
namespace {

using Catch::Matchers::Contains;
using runtime::FullKvCache;
using testing::MemoryWeights;
using testing::NaiveKvCache;
using testing::random_tensors;
using testing::ReferenceDecoder;
using testing::tiny_config;

constexpr uint64_t kSeed = 20250711;

std::vector<int64_t> random_ids(int64_t count, int64_t vocab_size, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor ids = at::randint(0, vocab_size, {count}, generator, at::kLong);
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + count};
}

Decoder random_decoder(const ModelConfig& config, at::ScalarType dtype = at::kFloat) {
  return Decoder(config, MemoryWeights(random_tensors(config, kSeed)), dtype, at::kCPU);
}

at::Tensor prefill_all(const Decoder& decoder,
                       runtime::KvCache& cache,
                       const std::vector<int64_t>& ids,
                       int64_t chunk_tokens = 1024) {
  return decoder.prefill(ids, cache, {.chunk_tokens = chunk_tokens, .logits = LogitRows::kAll})
      .squeeze(0);
}

at::Tensor step_all(const Decoder& decoder,
                    runtime::KvCache& cache,
                    const std::vector<int64_t>& ids) {
  std::vector<at::Tensor> rows;
  for (const int64_t id : ids) {
    rows.push_back(decoder.forward(at::full({1, 1}, id, at::kLong), cache).squeeze(0));
  }
  return at::cat(rows, 0);
}

double max_difference(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// Float32 sums of at most a few hundred terms of size 1: rounding stays far below this, a wrong
// head, row or weight far above.
constexpr double kBound = 1e-4;

struct Variant {
  std::string name;
  ModelConfig config;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const auto& [query_heads, kv_heads] :
       std::vector<std::pair<int64_t, int64_t>>{{3, 3}, {4, 2}, {8, 2}, {7, 1}, {16, 2}}) {
    all.push_back({"group of " + std::to_string(query_heads / kv_heads),
                   tiny_config(query_heads, kv_heads, 6)});
  }
  ModelConfig tied = tiny_config();
  tied.tie_word_embeddings = true;
  all.push_back({"tied", tied});
  ModelConfig biased = tiny_config();
  biased.qkv_bias = biased.output_bias = biased.mlp_bias = true;
  all.push_back({"biases", biased});
  ModelConfig normed = tiny_config();
  normed.qk_norm = true;
  all.push_back({"q and k norms", normed});
  ModelConfig windowed = tiny_config();
  windowed.attention_window = {0, 20};
  all.push_back({"sliding window in one layer", windowed});
  return all;
}

TEST_CASE("logits equal a decoder written from the definition in float64", "[model]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name << ", seed " << kSeed);
    const Decoder decoder = random_decoder(variant.config);
    const std::vector<int64_t> ids = random_ids(90, variant.config.vocab_size, kSeed);
    const at::Tensor expected =
        ReferenceDecoder(variant.config, random_tensors(variant.config, kSeed)).logits(ids);
    NaiveKvCache naive(variant.config.num_layers);
    CHECK(max_difference(prefill_all(decoder, naive, ids), expected) < kBound);
    FullKvCache full(variant.config.num_layers);
    CHECK(max_difference(prefill_all(decoder, full, ids), expected) < kBound);
  }
}

TEST_CASE("a prefill, a chunked prefill and single steps give the same logits", "[model]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name << ", seed " << kSeed);
    const Decoder decoder = random_decoder(variant.config);
    const std::vector<int64_t> ids = random_ids(130, variant.config.vocab_size, kSeed);
    FullKvCache whole(2), chunked(2), stepwise(2);
    const at::Tensor expected = prefill_all(decoder, whole, ids);
    CHECK(max_difference(prefill_all(decoder, chunked, ids, /*chunk_tokens=*/17), expected) <
          kBound);
    CHECK(max_difference(step_all(decoder, stepwise, ids), expected) < kBound);
  }
}

TEST_CASE("the last row's logits are those of all rows, and none are none", "[model]") {
  const Decoder decoder = random_decoder(tiny_config());
  const std::vector<int64_t> ids = random_ids(80, 61, kSeed);
  FullKvCache all(2), last(2), none(2);
  const at::Tensor expected = prefill_all(decoder, all, ids);
  const at::Tensor found = decoder.prefill(ids, last, {.chunk_tokens = 30});
  REQUIRE(found.sizes() == at::IntArrayRef({1, 1, 61}));
  CHECK(max_difference(found[0][0], expected[79]) < kBound);
  CHECK_FALSE(decoder.prefill(ids, none, {.logits = LogitRows::kNone}).defined());
  CHECK(none.next_position() == 80);
  // The cache holds the same whether or not logits were wanted.
  CHECK(max_difference(step_all(decoder, none, {5}), step_all(decoder, all, {5})) < kBound);
}

TEST_CASE("sequences of a batch do not see each other", "[model]") {
  const Decoder decoder = random_decoder(tiny_config());
  const std::vector<int64_t> first = random_ids(20, 61, kSeed);
  const std::vector<int64_t> second = random_ids(20, 61, kSeed + 1);
  const at::Tensor batch = at::stack({at::tensor(first), at::tensor(second)});
  FullKvCache together(2), one(2), two(2);
  for (const LogitRows rows : {LogitRows::kAll, LogitRows::kLast}) {  // a second pass on top
    const ForwardOptions options{.logits = rows};
    const at::Tensor found = decoder.forward(batch, together, options);
    REQUIRE(found.size(0) == 2);
    CHECK(max_difference(found[0],
                         decoder.forward(batch.narrow(0, 0, 1), one, options).squeeze(0)) < kBound);
    CHECK(max_difference(found[1],
                         decoder.forward(batch.narrow(0, 1, 1), two, options).squeeze(0)) < kBound);
  }
}

TEST_CASE("reduced precision stays near float32", "[model]") {
  // Relative steps of 2^-8 and 2^-11 through two layers, logits of size 1 to 5.
  ModelConfig config = tiny_config();
  config.qk_norm = true;
  const std::vector<int64_t> ids = random_ids(40, 61, kSeed);
  FullKvCache wide(2);
  const at::Tensor expected = prefill_all(random_decoder(config), wide, ids);
  for (const auto& [dtype, bound] : {std::pair{at::kBFloat16, 0.5}, std::pair{at::kHalf, 0.06}}) {
    const Decoder decoder = random_decoder(config, dtype);
    FullKvCache cache(2);
    const at::Tensor found = prefill_all(decoder, cache, ids);
    INFO(c10::toString(dtype));
    CHECK(found.scalar_type() == at::kFloat);
    CHECK(decoder.output_projection(0).scalar_type() == dtype);
    CHECK(max_difference(found, expected) < bound);
    CHECK(max_difference(found, expected) > 0.0);
  }
}

struct Seen : Observer {
  std::vector<LayerView> views;
  void on_layer(const LayerView& view) override {
    views.push_back(view);
    for (at::Tensor* t : {&views.back().q, &views.back().k, &views.back().v, &views.back().z}) {
      *t = t->clone();
    }
  }
};

TEST_CASE("the attention output shown to an observer is that of the q, k and v shown", "[model]") {
  ModelConfig config = tiny_config(8, 2, 6);
  config.attention_window = {0, 9};
  const Decoder decoder = random_decoder(config);
  Seen seen;
  FullKvCache cache(2);
  static_cast<void>(decoder.forward(at::tensor(random_ids(25, 61, kSeed)).unsqueeze(0), cache,
                                    {.logits = LogitRows::kNone, .observer = &seen}));
  static_cast<void>(decoder.forward(at::tensor(random_ids(1, 61, kSeed)).unsqueeze(0), cache,
                                    {.observer = &seen}));
  REQUIRE(seen.views.size() == 4);
  for (size_t layer = 0; layer < 2; ++layer) {
    const LayerView& before = seen.views[layer];
    const LayerView& after = seen.views[layer + 2];
    CHECK(before.layer == static_cast<int64_t>(layer));
    CHECK(before.first_position == 0);
    CHECK(after.first_position == 25);
    CHECK(before.scale == Approx(1.0 / std::sqrt(6.0)));
    CHECK(before.attention_window == config.attention_window[layer]);
    REQUIRE(before.q.sizes() == at::IntArrayRef({1, 8, 25, 6}));
    REQUIRE(before.k.sizes() == at::IntArrayRef({1, 2, 25, 6}));
    const auto check = [&](const LayerView& view, const at::Tensor& k, const at::Tensor& v) {
      const auto expected =
          testing::naive_attention(view.q, k, v, view.scale, view.attention_window);
      CHECK(max_difference(view.z, expected.z) < 1e-5);
      CHECK(max_difference(view.lse, expected.lse) < 1e-5);
    };
    check(before, before.k, before.v);
    check(after, at::cat({before.k, after.k}, 2), at::cat({before.v, after.v}, 2));
  }
}

TEST_CASE("a trace of chunks is the trace of the whole", "[model]") {
  const Decoder decoder = random_decoder(tiny_config());
  const std::vector<int64_t> ids = random_ids(100, 61, kSeed);
  TraceRecorder whole({WatchPoint::kQ, WatchPoint::kZ}, {1});
  TraceRecorder chunked({WatchPoint::kQ, WatchPoint::kZ}, {});
  FullKvCache a(2), b(2);
  static_cast<void>(decoder.prefill(ids, a, {.observer = &whole}));
  static_cast<void>(decoder.prefill(ids, b, {.chunk_tokens = 13, .observer = &chunked}));
  CHECK(whole.layers() == std::vector<int64_t>{1});
  CHECK(chunked.layers() == std::vector<int64_t>{0, 1});
  for (const WatchPoint point : {WatchPoint::kQ, WatchPoint::kZ}) {
    REQUIRE(whole.recorded(1, point).sizes() == at::IntArrayRef({100, 4, 8}));
    CHECK(max_difference(whole.recorded(1, point), chunked.recorded(1, point)) < kBound);
  }
  CHECK_FALSE(whole.recorded(1, WatchPoint::kV).defined());
  CHECK_FALSE(whole.recorded(0, WatchPoint::kQ).defined());
}

struct PassLog : NaiveKvCache {
  using NaiveKvCache::NaiveKvCache;
  std::vector<int64_t> lengths;  // -1 stands for "the end of the prompt is next"
  runtime::LayerAttention attend(const runtime::LayerStep& step) override {
    if (step.layer == 0) lengths.push_back(step.q.size(2));
    return NaiveKvCache::attend(step);
  }
  void expect_end_of_prompt() override { lengths.push_back(-1); }
};

TEST_CASE("the cache hears of the prompt's end before a last pass of at least 64 tokens",
          "[model]") {
  const Decoder decoder = random_decoder(tiny_config());
  const auto passes = [&](int64_t tokens, int64_t chunk) {
    PassLog log(2);
    static_cast<void>(decoder.prefill(random_ids(tokens, 61, kSeed), log, {.chunk_tokens = chunk}));
    return log.lengths;
  };
  using Lengths = std::vector<int64_t>;
  CHECK(passes(50, 1024) == Lengths{-1, 50});
  CHECK(passes(256, 128) == Lengths{128, -1, 128});
  CHECK(passes(266, 128) == Lengths{128, 74, -1, 64});
  CHECK(passes(110, 100) == Lengths{46, -1, 64});
  CHECK(passes(90, 16) == Lengths{16, 10, -1, 64});
  CHECK(passes(1, 16) == Lengths{-1, 1});
}

TEST_CASE("a prompt beyond the model's positions is refused before it is begun", "[model]") {
  ModelConfig config = tiny_config();
  config.max_positions = 40;
  const Decoder decoder = random_decoder(config);
  FullKvCache cache(2);
  CHECK_THROWS_WITH(decoder.prefill(random_ids(41, 61, kSeed), cache, {.chunk_tokens = 8}),
                    Contains("at most 40 tokens") && Contains("found 41"));
  CHECK(cache.next_position() == 0);
  static_cast<void>(decoder.prefill(random_ids(40, 61, kSeed), cache));
  CHECK_THROWS_AS(decoder.forward(at::zeros({1, 1}, at::kLong), cache), InputError);
}

TEST_CASE("foreign token ids and an empty prompt are refused", "[model]") {
  const Decoder decoder = random_decoder(tiny_config());
  FullKvCache cache(2);
  const std::vector<int64_t> too_large{3, 61}, negative{-1}, none;
  CHECK_THROWS_WITH(decoder.prefill(too_large, cache), Contains("token 1: ") && Contains("61"));
  CHECK_THROWS_AS(decoder.prefill(negative, cache), InputError);
  CHECK_THROWS_AS(decoder.prefill(none, cache), InputError);
  CHECK_THROWS_AS(decoder.forward(at::full({1, 1}, 61, at::kLong), cache), InputError);
}

TEST_CASE("threads that share out a chunk's rows answer what one thread answers", "[model]") {
  ModelConfig config = tiny_config();
  config.max_positions = 1600;
  const Decoder decoder = random_decoder(config);
  // Shared by two threads and by three; odd, so that their parts differ.
  for (const int64_t count : {513, 1537}) {
    const std::vector<int64_t> ids = random_ids(count, config.vocab_size, kSeed);
    const auto logits = [&](int threads) {
      const testing::ThreadCount held(threads);
      FullKvCache cache(2);
      return prefill_all(decoder, cache, ids, /*chunk_tokens=*/2048);
    };
    const at::Tensor alone = logits(1);
    for (const int threads : {2, 3}) {
      INFO(count << " tokens, " << threads << " threads, seed " << kSeed);
      CHECK(max_difference(logits(threads), alone) < kBound);
    }
  }
}

TEST_CASE("weights that contradict the config are refused by name", "[model]") {
  const ModelConfig config = tiny_config();
  const auto build = [&](const std::map<std::string, at::Tensor>& tensors) {
    return Decoder(config, MemoryWeights(tensors), at::kFloat, at::kCPU);
  };
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  auto missing = random_tensors(config, kSeed);
  missing.erase(name);
  CHECK_THROWS_WITH(build(missing), Contains(name));
  auto reshaped = random_tensors(config, kSeed);
  reshaped[name] = at::zeros({32, 47});
  CHECK_THROWS_WITH(build(reshaped), Contains(name) && Contains("47"));
  auto foreign = random_tensors(config, kSeed);
  foreign["model.layers.0.self_attn.q_norm.weight"] = at::zeros({8});
  CHECK_THROWS_WITH(build(foreign), Contains("q_norm"));
}

TEST_CASE("the output projection is the checkpoint's, and weights are counted once", "[model]") {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  const auto tensors = random_tensors(config, kSeed);
  const Decoder decoder = random_decoder(config);
  CHECK(at::equal(decoder.output_projection(1),
                  tensors.at("model.layers.1.self_attn.o_proj.weight")));
  CHECK_THROWS_AS(decoder.output_projection(2), std::invalid_argument);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  CHECK(decoder.weight_bytes() == bytes);
}

}  // namespace
}  // namespace headscope::model
