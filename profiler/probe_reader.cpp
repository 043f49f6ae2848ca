#include "profiler/probe_reader.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/rotary.h"
#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

// The decoder never makes a prompt's last pass shorter than this.
constexpr int64_t kLastPassTokens = 64;

// Leading tokens that two prompts of one chunk size may share: equal, and
// computed for both in the same whole chunks, so that reuse gives the very
// numbers that a fresh prefill gives.
int64_t reusable_prefix(std::span<const int64_t> a, std::span<const int64_t> b, int64_t chunk) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  const int64_t common = end - a.begin();
  const auto shorter = static_cast<int64_t>(std::min(a.size(), b.size()));
  return std::max<int64_t>(0, std::min(common, shorter - kLastPassTokens)) / chunk * chunk;
}

}  // namespace

ProbeReader::ProbeReader(const MeasuredModel& model,
                         const ProfileOptions& options,
                         int64_t longest_context,
                         const ScorerSet& scorers)
    : model_(model),
      options_(options),
      cache_(model.identity.shape.num_layers, {.reserve_tokens = longest_context}),
      capture_(model.identity.shape, cache_, scorers) {}

ProbeAnswer ProbeReader::read(const Probe& probe) {
  prefill(probe);
  capture_.watch(probe);
  AnswerEnd end(model_, {.max_tokens = answer_limit(probe, options_, model_.decoder.config()),
                         .stop_at_newline = true});
  ProbeAnswer answer;
  int64_t token = probe.prompt.back();
  if (options_.use_draft && !probe.gold.empty()) token = accept_draft(probe, end, answer);
  if (token >= 0) decode_from(token, probe, end, answer);
  answer.ids = end.ids();
  answer.text = end.text();
  return answer;
}

// All of the prompt but its last token, whose pass emits the answer's first.
void ProbeReader::prefill(const Probe& probe) {
  const std::span<const int64_t> prompt(probe.prompt.data(), probe.prompt.size() - 1);
  const int64_t shared =
      options_.reuse_prefixes ? reusable_prefix(held_, prompt, options_.chunk_tokens) : 0;
  cache_.truncate(shared);
  held_.clear();  // until the passes below are through
  const std::span<const int64_t> rest = prompt.subspan(static_cast<size_t>(shared));
  if (!rest.empty()) {
    static_cast<void>(model_.decoder.prefill(
        rest, cache_, {.chunk_tokens = options_.chunk_tokens, .logits = model::LogitRows::kNone}));
  }
  held_.assign(prompt.begin(), prompt.end());
}

int64_t ProbeReader::accept_draft(const Probe& probe, AnswerEnd& end, ProbeAnswer& answer) {
  const auto length = std::min(static_cast<int64_t>(probe.gold.size()),
                               answer_limit(probe, options_, model_.decoder.config()));
  std::vector<int64_t> pass{probe.prompt.back()};
  pass.insert(pass.end(), probe.gold.begin(), probe.gold.begin() + length - 1);
  const int64_t first = cache_.next_position();
  const at::Tensor logits =
      model_.decoder.forward(at::tensor(pass, at::kLong).unsqueeze(0), cache_,
                             {.logits = model::LogitRows::kAll, .observer = &capture_});
  const at::Tensor choices = logits[0].argmax(/*dim=*/1).to(at::kCPU);
  for (int64_t i = 0; i < length; ++i) {
    const int64_t token = choices.const_data_ptr<int64_t>()[i];
    if (!end.take(token)) return -1;
    answer.steps.push_back(capture_.reading(i, token));
    if (end.is_full()) return -1;
    if (token != probe.gold[static_cast<size_t>(i)]) {
      cache_.truncate(first + i + 1);
      return token;
    }
  }
  return -1;
}

void ProbeReader::decode_from(int64_t token,
                              const Probe& probe,
                              AnswerEnd& end,
                              ProbeAnswer& answer) {
  while (true) {
    const at::Tensor logits =
        model_.decoder.forward(at::full({1, 1}, token, at::kLong), cache_, {.observer = &capture_});
    token = greedy_choice(logits);
    if (!end.take(token)) return;
    answer.steps.push_back(capture_.reading(0, token));
    if (end.is_full() || end.ids() == probe.gold) return;
  }
}

int64_t answer_limit(const Probe& probe,
                     const ProfileOptions& options,
                     const model::ModelConfig& config) {
  const auto gold = static_cast<int64_t>(probe.gold.size());
  const auto prompt = static_cast<int64_t>(probe.prompt.size());
  const int64_t positions = model::position_limit(config);
  const int64_t wanted = std::min(options.max_answer_tokens, gold + options.extra_answer_tokens);
  // The last emitted token need not go through the model.
  const int64_t room = positions - prompt + 1;
  if (prompt < 1 || room < std::clamp<int64_t>(gold, 1, options.max_answer_tokens)) {
    throw InputError("probe " + std::to_string(probe.id),
                     "a prompt that leaves room for its answer in the model's " +
                         std::to_string(positions) + " positions",
                     std::to_string(prompt) + " tokens", "Use shorter context lengths.");
  }
  return std::max<int64_t>(1, std::min(wanted, room));
}

int64_t longest_context(const std::vector<Probe>& probes,
                        const ProfileOptions& options,
                        const model::ModelConfig& config) {
  int64_t longest = 0;
  for (const Probe& probe : probes) {
    if (probe.repeat_period > 0) continue;
    longest = std::max(
        longest, static_cast<int64_t>(probe.prompt.size()) + answer_limit(probe, options, config));
  }
  return longest;
}

}  // namespace headscope::profiler
