#include <catch2/catch.hpp>

#include "profiler/memory_estimate.h"
#include "runtime/full_kv_cache.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {

TEST_CASE("an estimate's weights and cache are those that the run allocates", "[profiler]") {
  const PlantedSetup planted;
  const profiler::RunEstimate estimate = profiler::estimate_run(
      planted.source->config(), at::kFloat, {.longest_context = 300, .prompt_tokens = 300}, 0.0);
  CHECK(estimate.weight_bytes == planted.decoder->weight_bytes());

  runtime::FullKvCache cache(planted.identity.shape.num_layers, {.reserve_tokens = 300});
  const std::vector<int64_t> prompt(100, 5);
  static_cast<void>(planted.decoder->prefill(prompt, cache));
  // The estimate may count the slack of a cache that grew; it must not promise less.
  CHECK(estimate.kv_bytes >= cache.bytes_held());
  CHECK(estimate.kv_bytes <= cache.bytes_held() + cache.bytes_held() / 4);
  CHECK(estimate.seconds == 0.0);
  CHECK(estimate.peak_bytes == estimate.weight_bytes + estimate.kv_bytes +
                                   estimate.transient_bytes + estimate.program_bytes);
}

TEST_CASE("a compressing run counts the compressed copy too", "[profiler]") {
  const PlantedSetup planted;
  profiler::RunSize size{.longest_context = 300, .prompt_tokens = 300};
  const auto plain = profiler::estimate_run(planted.source->config(), at::kFloat, size, 0.0);
  size.compressed_tokens = 300;
  const auto both = profiler::estimate_run(planted.source->config(), at::kFloat, size, 0.0);
  CHECK(both.kv_bytes == 2 * plain.kv_bytes);
  size.compressed_tokens = 30;
  const auto small = profiler::estimate_run(planted.source->config(), at::kFloat, size, 0.0);
  CHECK(small.kv_bytes > plain.kv_bytes);
  CHECK(small.kv_bytes < plain.kv_bytes + plain.kv_bytes / 2);
}

TEST_CASE("logits of many rows take memory of their own", "[profiler]") {
  const PlantedSetup planted;
  profiler::RunSize size{.longest_context = 300, .prompt_tokens = 300};
  const auto one = profiler::estimate_run(planted.source->config(), at::kFloat, size, 0.0);
  size.logit_rows = 65;
  const auto many = profiler::estimate_run(planted.source->config(), at::kFloat, size, 0.0);
  // float32, and once more beside it where the model's dtype is another.
  CHECK(many.transient_bytes - one.transient_bytes == 64 * 8 * planted.source->config().vocab_size);
}

TEST_CASE("estimated time grows with the work and shrinks with the machine", "[profiler]") {
  const PlantedSetup planted;
  const auto seconds = [&](int64_t prompt, int64_t decode, double flops) {
    return profiler::estimate_run(
               planted.source->config(), at::kFloat,
               {.longest_context = 300, .prompt_tokens = prompt, .decode_tokens = decode}, flops)
        .seconds;
  };
  CHECK(seconds(2000, 0, 1e9) == Approx(2 * seconds(1000, 0, 1e9)));
  CHECK(seconds(1000, 0, 2e9) == Approx(seconds(1000, 0, 1e9) / 2));
  // A decoded token costs more than a token of a prompt.
  CHECK(seconds(0, 1000, 1e9) > seconds(1000, 0, 1e9));
  CHECK(profiler::measure_flops(planted.source->config(), at::kFloat, at::kCPU) > 1e6);
}

}  // namespace headscope::testing
