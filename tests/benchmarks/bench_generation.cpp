// Generation through the whole decoder (SmolLM2-135M's shape, random weights) with a compressed
// cache. There is no peer's sequence here, only what a user would do instead:
//   decode       one step after a prompt of 8 000 tokens; B1: the full cache
//   first_token  reading a prompt and evicting by compresskv; B1: by snapkv
// `full_ms` of first_token is the time without eviction, `kv_bytes` what the caches of decode hold.
#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"
#include "tests/benchmarks/benchmark.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/smollm2_shape.h"
#include "tests/support/memory_weights.h"

namespace headscope::benchmarks {
namespace {

constexpr int64_t kWindow = 8;

class Model {
 public:
  Model(const model::ModelConfig& config, at::ScalarType dtype)
      : config_(config),
        dtype_(dtype),
        decoder_(config,
                 testing::MemoryWeights(testing::random_tensors(config, /*seed=*/23)),
                 dtype,
                 at::kCPU) {}

  [[nodiscard]] at::ScalarType dtype() const { return dtype_; }
  [[nodiscard]] std::vector<int64_t> prompt(int64_t num_tokens) const {
    at::manual_seed(24);
    const at::Tensor ids = at::randint(0, config_.vocab_size, {num_tokens}, at::kLong);
    return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + num_tokens};
  }
  [[nodiscard]] BudgetPlan plan(const std::string& method, int64_t budget) const {
    BudgetPlan plan = runtime::uniform_plan(method, config_.shape(), budget);
    if (method == "compresskv") {
      plan.selector_heads.assign(static_cast<size_t>(config_.num_layers), {0, 3, 5, 8});
    }
    return plan;
  }

  [[nodiscard]] std::unique_ptr<runtime::FullKvCache> read(const std::vector<int64_t>& tokens,
                                                           int64_t batch) const {
    runtime::FullKvCache cache(config_.num_layers, {.window_tokens = kWindow});
    static_cast<void>(decoder_.prefill(tokens, cache));
    return cache.fork(batch);
  }
  // Logits of the prompt's last token.
  at::Tensor read_into(const std::vector<int64_t>& tokens, runtime::KvCache& cache) const {
    return decoder_.prefill(tokens, cache);
  }
  // Logits after one more token; the cache is left as it was.
  template <typename Cache>
  at::Tensor step(Cache& cache, int64_t batch) const {
    const int64_t before = cache.next_position();
    at::Tensor logits = decoder_.forward(at::full({batch, 1}, 17, at::kLong), cache);
    cache.truncate(before);
    return logits;
  }

 private:
  model::ModelConfig config_;
  at::ScalarType dtype_;
  model::Decoder decoder_;
};

std::string percent(double share) {
  return std::to_string(std::lround(100.0 * share)) + " % kept";
}

Row row_of(const std::string& op,
           const std::string& name,
           at::ScalarType dtype,
           const PairedTimes& times) {
  return {.op = op,
          .case_name = name,
          .dtype = dtype_name(dtype),
          .ours_ms = times.ours_ms,
          .b1_ms = times.other_ms,
          .ratio_b1 = times.ratio,
          .more = {{"p10_b1", times.p10}, {"p90_b1", times.p90}}};
}

// With everything kept, a step is that of the full cache, and every sequence of a batch fares
// alike.
void check_decode() {
  const Model model(shortened(smollm2_config(), 3, 500), at::kFloat);
  const std::vector<int64_t> tokens = model.prompt(150);
  const auto full = model.read(tokens, /*batch=*/3);
  const auto whole = runtime::compress(*full, model.plan("snapkv", 150));
  const auto evicted = runtime::compress(*full, model.plan("snapkv", 40));
  const at::Tensor expected = model.step(*full, 3);
  expect_close("decode: everything kept", model.step(*whole, 3), expected, 0.0);
  const at::Tensor logits = model.step(*evicted, 3);
  expect_close("decode: sequences of a batch", logits[2], logits[0], 1e-6);
  if (at::allclose(logits, expected)) throw std::runtime_error("decode: nothing was evicted");
}

void time_decode(const Model& model, const Options& options, std::vector<Row>& rows) {
  constexpr int64_t kPrompt = 8000;
  const std::vector<int64_t> tokens = model.prompt(kPrompt);
  for (const int64_t batch : {1, 8}) {
    const auto full = model.read(tokens, batch);
    for (const double share : {0.03, 0.06, 0.12, 0.25, 0.5, 0.9}) {
      const auto ours =
          runtime::compress(*full, model.plan("snapkv", std::lround(share * kPrompt)));
      const PairedTimes times =
          time_pairs([&] { static_cast<void>(model.step(*ours, batch)); },
                     [&] { static_cast<void>(model.step(*full, batch)); }, options);
      Row row = row_of("decode",
                       "SmolLM2-135M, " + std::to_string(kPrompt) + " tokens, batch " +
                           std::to_string(batch) + ", " + percent(share),
                       model.dtype(), times);
      row.more["kv_bytes"] = static_cast<double>(ours->bytes_held());
      row.more["full_kv_bytes"] = static_cast<double>(full->bytes_held());
      announce(row);
      rows.push_back(std::move(row));
    }
  }
}

void time_first_token(const Model& model, const Options& options, std::vector<Row>& rows) {
  for (const int64_t num_tokens : {1024, 4096, 8000}) {
    const std::vector<int64_t> tokens = model.prompt(num_tokens);
    const int64_t budget = num_tokens * 6 / 100;
    const auto read_by = [&](const char* method) {
      const auto cache = runtime::make_cache(model.plan(method, budget));
      static_cast<void>(model.read_into(tokens, *cache));
    };
    const PairedTimes times =
        time_pairs([&] { read_by("compresskv"); }, [&] { read_by("snapkv"); }, options);
    Row row = row_of(
        "first_token",
        "SmolLM2-135M, " + std::to_string(num_tokens) + " tokens, compresskv, " + percent(0.06),
        model.dtype(), times);
    row.more["full_ms"] = shortest_ms([&] { read_by("full"); }, options);
    announce(row);
    rows.push_back(std::move(row));
  }
}

}  // namespace

std::vector<Row> benchmark_decode(const Options& options, const Roofs& /*roofs*/) {
  std::vector<Row> rows;
  if (options.check_only) {
    check_decode();
    return rows;
  }
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    time_decode(Model(smollm2_config(), dtype), options, rows);
  }
  return rows;
}

std::vector<Row> benchmark_first_token(const Options& options, const Roofs& /*roofs*/) {
  std::vector<Row> rows;
  if (options.check_only) return rows;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    time_first_token(Model(smollm2_config(), dtype), options, rows);
  }
  return rows;
}

}  // namespace headscope::benchmarks
