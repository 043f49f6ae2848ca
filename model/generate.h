// Continues a prompt token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/decoder.h"
#include "model/sampler.h"
#include "model/tokenizer.h"
#include "runtime/kv_cache.h"

namespace headscope::model {

enum class StopReason { kStopToken, kMaxNewTokens, kPositionLimit, kCancelled };

struct GenerateOptions {
  int64_t max_new_tokens = 128;  // >= 0
  SamplingOptions sampling = {};
  std::vector<int64_t> stop_ids = {};          // stop_ids() below gathers a model's own
  int64_t chunk_tokens = 1024;                 // of the prefill
  Observer* observer = nullptr;                // not owned; sees prefill and decode
  std::function<void(int64_t)> on_token = {};  // after each new token
  std::function<bool()> is_cancelled = {};     // asked before each new token
};

struct GenerateResult {
  std::vector<int64_t> generated_ids;  // the stop token included, as its last id
  StopReason stop_reason = StopReason::kMaxNewTokens;
  double prefill_seconds = 0.0;
  double decode_tokens_per_second = 0.0;  // passes after the prefill; 0 where there was none
};

// The cache must be empty or hold the prompt's beginning. InputError where the prompt is longer
// than the model's positions or holds foreign ids.
[[nodiscard]] GenerateResult generate(const Decoder& decoder,
                                      runtime::KvCache& cache,
                                      std::span<const int64_t> prompt,
                                      const GenerateOptions& options = {});

// Ids that end a continuation: the config's end-of-sequence ids, the tokenizer's, and the ends of a
// chat turn (<|im_end|>, <|eot_id|> …) that the vocabulary knows. Ascending, each once.
[[nodiscard]] std::vector<int64_t> stop_ids(const ModelConfig& config, const Tokenizer& tokenizer);

}  // namespace headscope::model
