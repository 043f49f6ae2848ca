// An inference engine that takes the compressor in: it reads a budget plan, prefills two prompts of
// different lengths side by side through the cache that the plan describes, decodes, and prints
// what memory that took and how much of the attention fell on what was kept.
//
//   embed_compressor plan.json [prompt tokens]
//
// The "engine" here makes random queries, keys and values of the plan's shape; a real one computes
// them, and calls attend() once per layer in the place of its own attention.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "outputs/plan_json.h"
#include "runtime/compressor.h"
#include "runtime/memory_use.h"

namespace {

using headscope::ModelShape;
using headscope::runtime::KvCache;

constexpr int64_t kSequences = 2;

// One forward pass over `num_tokens` new tokens, attention only.
void forward(const ModelShape& shape, KvCache& cache, int64_t num_tokens) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const at::Tensor q = at::randn({kSequences, shape.num_query_heads, num_tokens, shape.head_dim});
    const at::Tensor k = at::randn({kSequences, shape.num_kv_heads, num_tokens, shape.head_dim});
    const at::Tensor v = at::randn({kSequences, shape.num_kv_heads, num_tokens, shape.head_dim});
    const int64_t window =
        shape.has_full_attention(layer) ? 0 : shape.attention_window[static_cast<size_t>(layer)];
    cache.attend({layer, q, k, v, scale, window});
  }
}

void run(const std::string& plan_path, int64_t prompt_tokens) {
  constexpr int64_t kChunk = 512;
  constexpr int64_t kNewTokens = 32;
  const headscope::BudgetPlan plan = headscope::outputs::read_plan_json(plan_path);
  const ModelShape& shape = plan.model.shape;
  // Memory stays bounded while long prompts are read and long answers written; one KV head watches.
  const auto cache = headscope::runtime::make_cache(
      plan, {.prefill_tokens = 4 * kChunk, .decode_tokens = 64, .drift_sentinels = 1});

  const std::vector<int64_t> lengths = {prompt_tokens, (prompt_tokens + 1) / 2};
  cache->expect_padding({0, prompt_tokens - lengths[1]});  // the shorter one, padded on the left
  cache->expect_prompt(prompt_tokens);
  for (int64_t begin = 0; begin < prompt_tokens; begin += kChunk) {
    const int64_t count = std::min(kChunk, prompt_tokens - begin);
    if (begin + count == prompt_tokens) {
      cache->expect_end_of_prompt();  // from here on the evicted keys' memory is given back
    }
    forward(shape, *cache, count);
  }
  const int64_t after_prompt = cache->bytes_held();
  for (int64_t i = 0; i < kNewTokens; ++i) {
    forward(shape, *cache, 1);
  }
  std::cout << "method            " << plan.method << "\n"
            << "prompt tokens     " << lengths[0] << " and " << lengths[1] << "\n"
            << "full cache bytes  "
            << headscope::runtime::full_kv_bytes(shape, lengths[0] + lengths[1], sizeof(float))
            << "\n"
            << "held bytes        " << after_prompt << "\n"
            << "planned bytes     "
            << headscope::runtime::planned_kv_bytes(plan, lengths, sizeof(float))
            << " and the keys of the watching head\n"
            << "after " << kNewTokens << " tokens   " << cache->bytes_held() << "\n";
  for (int64_t sequence = 0; sequence < kSequences; ++sequence) {
    const headscope::runtime::KeptMass kept = cache->drift(sequence);
    std::cout << "kept attention    " << kept.window << " in the window, " << kept.sentinel_recent
              << " lately\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: embed_compressor plan.json [prompt tokens]\n";
    return 2;
  }
  try {
    run(argv[1], argc > 2 ? std::stoll(argv[2]) : 2048);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
