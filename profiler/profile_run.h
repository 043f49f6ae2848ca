// Probes in, head profile out: which query heads fetch the answer from the context.
//
// Each probe's prompt is prefilled once. The gold answer is then a draft: one pass over it gives
// the greedy choice of every step; the longest prefix that the model would have emitted itself is
// kept, and from the first difference on it is decoded token by token. The result is that of plain
// greedy decoding (Leviathan et al., 2211.17192, the greedy case).
//
// Where the answer ends: at the gold answer's end when the model said exactly that; else at an
// end-of-sequence token, at a newline after something was said, or at `max_answer_tokens`. The
// papers go on up to 50 tokens past a right answer, which lets repetitions count again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/probe_samples.h"
#include "analysis/stop_rule.h"
#include "outputs/head_profile.h"
#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/progress.h"
#include "profiler/rank_group.h"
#include "profiler/trial_log.h"

namespace headscope::profiler {

// Each probe on its own, as published measurements are; or many needles to one haystack
// (shared_haystack.h), which is another experiment. Which of them the probes given are is for the
// caller to say: the mode is a part of every trial's address.
enum class ProfileMode { kExact, kShared };
// "exact" or "shared".
[[nodiscard]] std::string mode_name(ProfileMode mode);

struct ProfileOptions {
  ProfileMode mode = ProfileMode::kExact;
  std::vector<std::string> scores = {"srh", "srh_paper", "srh_code", "retrieval",
                                     "r2",  "sink",      "recency"};  // default_scores()
  SpanChoice srh_span =
      SpanChoice::kNeedle;           // what `srh` sums over; the other scores use the answer
  analysis::FamilyMix mix;           // how families weigh in the mean scores; empty = equally
  double success_threshold = 0.5;    // 0..1: rouge1_recall() of the answer must exceed it
  int64_t max_answer_tokens = 50;    // 1..512: decoded tokens at most
  int64_t extra_answer_tokens = 16;  // 0..512: and no more than the gold answer's length plus this
  // 16..65536: prompt tokens per pass. Bounds transient memory, and prompts share whole passes
  // only: on a CPU products of 128 rows run within 5 % of the rate of longer ones, and at the end
  // of a shared beginning 64 tokens are lost on average.
  int64_t chunk_tokens = 128;
  bool use_draft = true;             // false: decode every token on its own (same result, slower)
  bool reuse_prefixes = true;        // keep what two prompts share, whole chunks (same result)
  bool batch_questions = true;       // ask questions of one context in one pass (same result)
  double save_every_seconds = 30.0;  // > 0: how much work a power cut may cost
  // Probes are put in rounds (probe_rounds.h) until this rule stops: those given are the most, in
  // the order in which they are put, which must follow neither needles nor families. `mix` is the
  // one above.
  std::optional<analysis::StopOptions> until_stable;

  // InputError names the option, its range and what was given.
  void validate(const ModelShape& shape) const;
};

struct ProfileOutcome {
  HeadProfile profile;    // probes in the order given; those not reached are absent
  bool complete = false;  // false: interrupted, the log holds what was done
  std::optional<analysis::StopDecision> stop;  // the rule's last, of rank 0
  int64_t num_resumed = 0;                     // probes taken from the log
};

// Runs every probe whose trial the log does not hold yet; each goes to the log the moment it is
// done. `provenance` is what the profile will carry; the run fills its `options` and `seconds`.
// With several ranks (a log is needed then) the probes are dealt among them, and rank 0's outcome
// is the whole run's; the others' hold what they know. InputError: a probe longer than the model's
// positions, or a log of another run.
[[nodiscard]] ProfileOutcome profile_heads(const MeasuredModel& model,
                                           const std::vector<Probe>& probes,
                                           const ProfileOptions& options,
                                           const Provenance& provenance,
                                           ProgressSink& progress,
                                           TrialLog* log = nullptr,
                                           RankGroup* ranks = nullptr);

}  // namespace headscope::profiler
