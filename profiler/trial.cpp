#include "profiler/trial.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <span>

#include "model/generate.h"
#include "outputs/sha256.h"
#include "profiler/option_check.h"
#include "profiler/profile_run.h"

namespace headscope::profiler {
namespace {

void add_numbers(Sha256& hash, const std::vector<int64_t>& numbers) {
  const auto size = static_cast<int64_t>(numbers.size());
  hash.update(std::as_bytes(std::span(&size, 1)));
  hash.update(std::as_bytes(std::span(numbers)));
}

void add_text(Sha256& hash, const std::string& text) {
  const auto size = static_cast<int64_t>(text.size());
  hash.update(std::as_bytes(std::span(&size, 1)));
  hash.update(text);
}

void add_spans(Sha256& hash, const std::vector<TokenSpan>& spans) {
  std::vector<int64_t> ends;
  for (const TokenSpan& span : spans) ends.insert(ends.end(), {span.begin, span.end});
  add_numbers(hash, ends);
}

// The text of every token: what makes an answer of ids, and so what the gate sees.
std::string tokenizer_digest(const model::Tokenizer& tokenizer) {
  Sha256 hash;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    add_text(hash, tokenizer.decode({id}, /*skip_special=*/true));
  }
  return hash.finish();
}

}  // namespace

TrialRun trial_run(const MeasuredModel& model, const ProfileOptions& options) {
  std::vector<std::string> scores = options.scores;
  std::sort(scores.begin(), scores.end());
  return {
      {"mode", mode_name(options.mode)},
      {"model", model.identity.fingerprint},
      {"tokenizer", tokenizer_digest(model.tokenizer)},
      {"stop ids", join_values(model::stop_ids(model.decoder.config(), model.tokenizer))},
      {"dtype", c10::toString(model.decoder.dtype())},
      {"device", model.decoder.device().is_cpu() ? "cpu" : "cuda"},
      {"scores", join_values(scores)},
      {"srh span", options.srh_span == SpanChoice::kNeedle ? "needle" : "answer"},
      {"max answer tokens", std::to_string(options.max_answer_tokens)},
      {"extra answer tokens", std::to_string(options.extra_answer_tokens)},
      {"chunk tokens", std::to_string(options.chunk_tokens)},
  };
}

std::string trial_address(const TrialRun& run, const Probe& probe) {
  Sha256 hash;
  for (const auto& [name, value] : run) {
    add_text(hash, name);
    add_text(hash, value);
  }
  add_numbers(hash, probe.prompt);
  add_numbers(hash, probe.gold);
  add_spans(hash, probe.needle_spans);
  add_spans(hash, probe.answer_spans);
  add_text(hash, probe.answer);
  add_numbers(hash, {probe.is_control ? 1 : 0, probe.repeat_period});
  return hash.finish();
}

std::string prompt_hash(const std::vector<int64_t>& prompt) {
  std::string text;
  for (const int64_t id : prompt) text += std::to_string(id) + ' ';
  return sha256_hex(text);
}

}  // namespace headscope::profiler
