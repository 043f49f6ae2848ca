#include "profiler/probe_answer.h"

#include <algorithm>
#include <utility>

#include "model/rotary.h"
#include "outputs/input_error.h"

namespace headscope::profiler {

AnswerInProgress::AnswerInProgress(const MeasuredModel& model,
                                   const ProfileOptions& options,
                                   const Probe& probe)
    : probe_(&probe),
      end_(model,
           {.max_tokens = answer_limit(probe, options, model.decoder.config()),
            .stop_at_newline = true}),
      rows_{probe.prompt.back()} {
  if (!options.use_draft || probe.gold.empty()) return;
  // The draft's last token need not go through the model.
  const auto length = std::min(static_cast<int64_t>(probe.gold.size()),
                               answer_limit(probe, options, model.decoder.config()));
  rows_.insert(rows_.end(), probe.gold.begin(), probe.gold.begin() + length - 1);
}

int64_t AnswerInProgress::take(std::span<const int64_t> choices, AnswerCapture& capture) {
  const std::vector<int64_t> fed = std::exchange(rows_, {});
  const auto count = static_cast<int64_t>(fed.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t token = choices[static_cast<size_t>(i)];
    if (!end_.take(token)) return i + 1;
    steps_.push_back(capture.reading(i, token));
    if (end_.is_full() || end_.ids() == probe_->gold) return i + 1;
    if (i + 1 < count && fed[static_cast<size_t>(i + 1)] == token) continue;
    rows_ = {token};
    return i + 1;
  }
  return count;
}

ProbeAnswer AnswerInProgress::finish() && {
  return {.ids = end_.ids(), .text = end_.text(), .steps = std::move(steps_)};
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
