// Runs one probe after the other on one cache: prefill what the previous prompt did not share, then
// the answer, with the gold answer as a draft (profile_run.h says why that changes nothing). Probes
// of one context are asked in one batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "profiler/capture.h"
#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/probe_answer.h"
#include "profiler/profile_run.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

class ProbeReader {
 public:
  // `longest_context`: tokens of the longest
  // probe with its answer, for which storage is taken. The scores outlive the reader.
  ProbeReader(const MeasuredModel& model,
              const ProfileOptions& options,
              int64_t longest_context,
              const ScorerSet& scorers);

  [[nodiscard]] ProbeAnswer read(const Probe& probe);

  // The answers of probes that begin alike, in their order (question_batch.h); one by one where the
  // options or the model want that.
  [[nodiscard]] std::vector<ProbeAnswer> read(std::span<const Probe* const> probes);

 private:
  void prefill(std::span<const int64_t> tokens);

  const MeasuredModel& model_;
  ProfileOptions options_;
  const ScorerSet& scorers_;
  runtime::FullKvCache cache_;
  AnswerCapture capture_;
  std::vector<int64_t> held_;  // the tokens of the last prefill; the cache holds them at least
};

}  // namespace headscope::profiler
