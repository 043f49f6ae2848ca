// A probe's answer as it comes out of the model. The gold answer is a draft: its rows go through
// the model together, and as far as the model says what the draft says they are the rows of plain
// greedy decoding (profile_run.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "profiler/capture.h"
#include "profiler/greedy_answer.h"
#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/profile_run.h"

namespace headscope::profiler {

struct ProbeAnswer {
  std::vector<int64_t> ids;
  std::string text;                // valid UTF-8
  std::vector<HeadReading> steps;  // one per id
};

class AnswerInProgress {
 public:
  // The probe and the model outlive it. InputError as answer_limit().
  AnswerInProgress(const MeasuredModel& model, const ProfileOptions& options, const Probe& probe);

  [[nodiscard]] const Probe& probe() const { return *probe_; }

  // What goes through the model next: the token in front of the next one of the answer (at first
  // the prompt's last), and then those of the draft, if any. Empty once the answer is over.
  [[nodiscard]] const std::vector<int64_t>& next_rows() const { return rows_; }

  // Takes the model's choice after each of those rows, of which `capture` holds the readings.
  // Returns how many of the rows belong to the answer; the cache is to forget the others.
  int64_t take(std::span<const int64_t> choices, AnswerCapture& capture);

  [[nodiscard]] ProbeAnswer finish() &&;

 private:
  const Probe* probe_;
  AnswerEnd end_;
  std::vector<int64_t> rows_;
  std::vector<HeadReading> steps_;
};

// How many tokens may be emitted in answer to the probe. InputError where
// prompt and gold answer do not fit the model's positions.
[[nodiscard]] int64_t answer_limit(const Probe& probe,
                                   const ProfileOptions& options,
                                   const model::ModelConfig& config);

// Tokens of the longest question with its answer: the storage that a cache for all of them takes.
// Probes of repeated tokens have no answer and are not looked at. InputError as answer_limit().
[[nodiscard]] int64_t longest_context(const std::vector<Probe>& probes,
                                      const ProfileOptions& options,
                                      const model::ModelConfig& config);

}  // namespace headscope::profiler
