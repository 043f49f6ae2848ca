// Rows of several sequences in one pass, over a prefix that all of them share.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "outputs/input_error.h"
#include "runtime/full_kv_cache.h"
#include "runtime/shared_prefix_cache.h"
#include "tests/model/tiny_configs.h"
#include "tests/support/memory_weights.h"

namespace headscope::model {
namespace {

using runtime::FullKvCache;
using runtime::SharedPrefixCache;
using testing::tiny_config;

constexpr uint64_t kSeed = 20250712;
constexpr double kBound = 1e-4;  // as in test_decoder.cpp
constexpr int64_t kPrefix = 70;

struct Setup {
  ModelConfig config;
  Decoder decoder;
  std::vector<int64_t> prefix;
  std::vector<std::vector<int64_t>> suffixes;
  FullKvCache held;

  explicit Setup(const ModelConfig& model)
      : config(model),
        decoder(config,
                testing::MemoryWeights(testing::random_tensors(config, kSeed)),
                at::kFloat,
                at::kCPU),
        prefix(ids(kPrefix, kSeed)),
        suffixes{ids(9, kSeed + 1), ids(1, kSeed + 2), ids(30, kSeed + 3)},
        held(config.num_layers) {
    static_cast<void>(decoder.prefill(prefix, held, {.logits = LogitRows::kNone}));
  }

  [[nodiscard]] std::vector<int64_t> ids(int64_t count, uint64_t seed) const {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const at::Tensor drawn = at::randint(0, config.vocab_size, {count}, generator, at::kLong);
    return {drawn.const_data_ptr<int64_t>(), drawn.const_data_ptr<int64_t>() + count};
  }

  // Logits of every token of a suffix on a cache of its own, [n, vocab].
  [[nodiscard]] at::Tensor alone(size_t s) const {
    const auto own = held.fork();
    return decoder.forward(at::tensor(suffixes[s]).unsqueeze(0), *own,
                           {.logits = LogitRows::kAll})[0];
  }
};

std::vector<ModelConfig> configs() {
  std::vector<ModelConfig> all{tiny_config(), tiny_config(8, 2, 6), tiny_config(7, 1, 6)};
  all.push_back(tiny_config());
  all.back().attention_window = {0, 20};
  all.push_back(tiny_config());
  all.back().rope.scaling = RopeScaling::kYarn;
  all.back().rope.factor = 4.0;
  all.back().rope.original_max_positions = 64;
  return all;
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a - b).abs().max().item<double>();
}

TEST_CASE("a pass over several sequences gives each the logits of a pass of its own", "[model]") {
  size_t which = 0;
  for (const ModelConfig& config : configs()) {
    INFO("config " << which++ << ", seed " << kSeed);
    const Setup setup(config);
    SharedPrefixCache cache(setup.held, 3);
    std::vector<int64_t> tokens, counts;
    for (const auto& suffix : setup.suffixes) {
      tokens.insert(tokens.end(), suffix.begin(), suffix.end());
      counts.push_back(std::ssize(suffix));
    }
    cache.expect_rows(counts);
    const std::vector<int64_t> positions = cache.row_positions();
    const at::Tensor logits =
        setup.decoder.forward(at::tensor(tokens).unsqueeze(0), cache,
                              {.logits = LogitRows::kAll, .positions = positions})[0];
    int64_t begin = 0;
    for (size_t s = 0; s < 3; begin += counts[s++]) {
      CHECK(gap(logits.narrow(0, begin, counts[s]), setup.alone(s)) < kBound);
      CHECK(cache.length(static_cast<int64_t>(s)) == kPrefix + counts[s]);
    }
  }
}

TEST_CASE("chosen rows give their logits in the order asked for", "[model]") {
  const Setup setup(tiny_config());
  const std::vector<int64_t> chosen{29, 0, 17};
  const auto own = setup.held.fork();
  const at::Tensor logits =
      setup.decoder.forward(at::tensor(setup.suffixes[2]).unsqueeze(0), *own,
                            {.logits = LogitRows::kChosen, .logit_rows = chosen});
  REQUIRE(logits.sizes() == at::IntArrayRef({1, 3, setup.config.vocab_size}));
  const at::Tensor all = setup.alone(2);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(gap(logits[0][static_cast<int64_t>(i)], all[chosen[i]]) < kBound);
  }
}

TEST_CASE("positions and rows that do not fit the tokens are refused", "[model]") {
  const Setup setup(tiny_config());
  const auto forward = [&](const at::Tensor& tokens, const ForwardOptions& options) {
    FullKvCache cache(setup.config.num_layers);
    return setup.decoder.forward(tokens, cache, options);
  };
  const at::Tensor one = at::ones({1, 3}, at::kLong), two = at::ones({2, 3}, at::kLong);
  const std::vector<int64_t> positions{0, 1, 2}, beyond{0, 1, setup.config.max_positions}, rows{3};
  CHECK_NOTHROW(forward(one, {.positions = positions}));
  CHECK_THROWS_AS(forward(two, {.positions = positions}), std::invalid_argument);
  CHECK_THROWS_AS(forward(one, {.positions = {positions.data(), 2}}), std::invalid_argument);
  CHECK_THROWS_AS(forward(one, {.logits = LogitRows::kChosen, .logit_rows = rows}),
                  std::invalid_argument);
  CHECK_THROWS_AS(forward(one, {.logits = LogitRows::kChosen}), std::invalid_argument);
  CHECK_THROWS_AS(forward(one, {.positions = beyond}), InputError);
}

}  // namespace
}  // namespace headscope::model
