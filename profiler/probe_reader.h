// Runs one probe after the other on one cache: prefill what the previous prompt
// did not share, then the answer, with the gold answer as a draft
// (profile_run.h says why that changes nothing).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/capture.h"
#include "profiler/greedy_answer.h"
#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/profile_run.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

struct ProbeAnswer {
  std::vector<int64_t> ids;
  std::string text;                // valid UTF-8
  std::vector<HeadReading> steps;  // one per id
};

class ProbeReader {
 public:
  // `longest_context`: tokens of the longest
  // probe with its answer, for which storage is taken. The scores outlive the reader.
  ProbeReader(const MeasuredModel& model,
              const ProfileOptions& options,
              int64_t longest_context,
              const ScorerSet& scorers);

  [[nodiscard]] ProbeAnswer read(const Probe& probe);

 private:
  void prefill(const Probe& probe);
  // Emits as long as the model says what the draft says. Returns the token to
  // go on from: the first other one; or -1 when the answer is over.
  int64_t accept_draft(const Probe& probe, AnswerEnd& end, ProbeAnswer& answer);
  // Emits token by token from `token` on, which did not yet go through the
  // model.
  void decode_from(int64_t token, const Probe& probe, AnswerEnd& end, ProbeAnswer& answer);

  const MeasuredModel& model_;
  ProfileOptions options_;
  runtime::FullKvCache cache_;
  AnswerCapture capture_;
  std::vector<int64_t> held_;  // the prompt tokens in the cache
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
