#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>

#include "model/rotary.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool contains(const std::vector<int64_t>& ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Why generation ends after the tokens so far; nullopt where it goes on.
std::optional<StopReason> reason_to_stop(const GenerateResult& result,
                                         const GenerateOptions& options,
                                         const runtime::KvCache& cache,
                                         int64_t limit) {
  const std::vector<int64_t>& ids = result.generated_ids;
  if (!ids.empty() && contains(options.stop_ids, ids.back())) return StopReason::kStopToken;
  if (static_cast<int64_t>(ids.size()) >= options.max_new_tokens) return StopReason::kMaxNewTokens;
  // The newest token has not gone through the model yet; it needs a position of its own.
  if (!ids.empty() && cache.next_position() >= limit) return StopReason::kPositionLimit;
  if (options.is_cancelled && options.is_cancelled()) return StopReason::kCancelled;
  return std::nullopt;
}

}  // namespace

GenerateResult generate(const Decoder& decoder,
                        runtime::KvCache& cache,
                        std::span<const int64_t> prompt,
                        const GenerateOptions& options) {
  if (options.max_new_tokens < 0) {
    throw InputError("max-new-tokens", "a number >= 0", std::to_string(options.max_new_tokens));
  }
  Sampler sampler(options.sampling);
  const int64_t limit = position_limit(decoder.config());
  GenerateResult result;
  const auto prefill_start = Clock::now();
  at::Tensor logits = decoder.prefill(
      prompt, cache, {.chunk_tokens = options.chunk_tokens, .observer = options.observer});
  const auto emit = [&] {
    const int64_t id = sampler.next(logits.select(1, 0).squeeze(0));
    result.generated_ids.push_back(id);
    if (options.on_token) options.on_token(id);
  };
  std::optional<StopReason> stop = reason_to_stop(result, options, cache, limit);
  if (!stop)
    emit();  // waits for the device, so that the prefill is over when the clock
             // is read
  result.prefill_seconds = seconds_since(prefill_start);

  const auto decode_start = Clock::now();
  int64_t steps = 0;
  while (!stop && !(stop = reason_to_stop(result, options, cache, limit))) {
    const at::Tensor token = at::full({1, 1}, result.generated_ids.back(), at::kLong);
    logits = decoder.forward(token, cache, {.observer = options.observer});
    emit();
    ++steps;
  }
  if (steps > 0) {
    result.decode_tokens_per_second = static_cast<double>(steps) / seconds_since(decode_start);
  }
  result.stop_reason = *stop;
  return result;
}

std::vector<int64_t> stop_ids(const ModelConfig& config, const Tokenizer& tokenizer) {
  static constexpr std::string_view kTurnEnds[] = {"<|im_end|>",      "<|eot_id|>",    "<|eom_id|>",
                                                   "<|end_of_text|>", "<|endoftext|>", "</s>"};
  std::set<int64_t> ids(config.eos_token_ids.begin(), config.eos_token_ids.end());
  if (const auto eos = tokenizer.eos_id()) ids.insert(*eos);
  for (const std::string_view token : kTurnEnds) {
    if (const auto id = tokenizer.id_of(token)) ids.insert(*id);
  }
  return {ids.begin(), ids.end()};
}

}  // namespace headscope::model
