#include "profiler/probe_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "profiler/probe_schedule.h"
#include "profiler/question_batch.h"

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
      scorers_(scorers),
      cache_(model.identity.shape.num_layers, {.reserve_tokens = longest_context}),
      capture_(model.identity.shape, cache_, scorers) {}

ProbeAnswer ProbeReader::read(const Probe& probe) {
  AnswerInProgress answer(model_, options_, probe);
  // All of the prompt but its last token, whose pass emits the answer's first.
  prefill({probe.prompt.data(), probe.prompt.size() - 1});
  capture_.watch(probe);
  while (!answer.next_rows().empty()) {
    const int64_t first = cache_.next_position();
    const at::Tensor logits =
        model_.decoder.forward(at::tensor(answer.next_rows(), at::kLong).unsqueeze(0), cache_,
                               {.logits = model::LogitRows::kAll, .observer = &capture_});
    const at::Tensor choices = logits[0].argmax(/*dim=*/1).to(at::kCPU);
    const int64_t kept = answer.take(
        {choices.const_data_ptr<int64_t>(), static_cast<size_t>(choices.numel())}, capture_);
    cache_.truncate(first + kept);
  }
  return std::move(answer).finish();
}

std::vector<ProbeAnswer> ProbeReader::read(std::span<const Probe* const> probes) {
  std::vector<ProbeAnswer> answers;
  if (probes.size() > 1 && options_.batch_questions &&
      can_batch_questions(model_.decoder.config())) {
    const std::span<const int64_t> prompt(probes.front()->prompt);
    int64_t shared = std::ssize(prompt);
    for (const Probe* probe : probes) {
      shared = std::min({shared, common_prefix(probes.front()->prompt, probe->prompt),
                         std::ssize(probe->prompt) - 1});
    }
    if (shared > 0) {
      prefill(prompt.first(static_cast<size_t>(shared)));
      return read_questions(model_, options_, scorers_, cache_, probes);
    }
  }
  for (const Probe* probe : probes) answers.push_back(read(*probe));
  return answers;
}

void ProbeReader::prefill(std::span<const int64_t> tokens) {
  const int64_t shared =
      options_.reuse_prefixes ? reusable_prefix(held_, tokens, options_.chunk_tokens) : 0;
  cache_.truncate(shared);
  held_.clear();  // until the passes below are through
  const std::span<const int64_t> rest = tokens.subspan(static_cast<size_t>(shared));
  if (!rest.empty()) {
    static_cast<void>(model_.decoder.prefill(
        rest, cache_, {.chunk_tokens = options_.chunk_tokens, .logits = model::LogitRows::kNone}));
  }
  held_.assign(tokens.begin(), tokens.end());
}

}  // namespace headscope::profiler
