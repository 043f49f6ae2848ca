// The causal check of a profile: does the model need the heads that a score ranks first? Masks them
// and asks again; a score that only accompanies retrieval would leave the answers as they are.
//
// Every arm answers the same probes, each from a prefill and a greedy decode of its own with the
// arm's heads masked in both (model/head_mask.h), and is judged by the gate of the profile
// (profile_run.h). No prefix is shared between arms: a masked head changes all later keys. After
// Wu et al. (2404.15574, section 4), whose masks leave the prompt's pass alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/ablation_arms.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/profile_run.h"
#include "profiler/progress.h"

namespace headscope::profiler {

enum class MaskMode { kZero, kMean };

struct AblateOptions {
  MaskMode mode = MaskMode::kZero;
  // Answer limits, gate and chunk size: those of the profile, so that "right" means the same.
  ProfileOptions answers;
  int64_t bootstrap_draws = 2000;  // 100..1000000: for the 95 % intervals, over needles
  uint64_t seed = 0;               // of the bootstrap

  void validate(const ModelShape& shape) const;  // InputError
};

struct AblationRow {
  std::string which;  // as AblationArm::which, or "random": all draws of the score together
  std::string score;
  std::vector<HeadId> heads;  // empty for "none" and for "random"
  bool layer_matched = true;  // false: a layer had too few other heads for this control
  int64_t num_probes = 0;
  int64_t num_needles = 0;  // clusters of the intervals
  double accuracy = 0.0;    // share of probes that pass the gate, 0..1
  double ci_low = 0.0;      // 95 % bootstrap interval over needles
  double ci_high = 0.0;
  double cost = 0.0;  // accuracy of "none" minus accuracy, on the same probes; paired interval
  double cost_low = 0.0;
  double cost_high = 0.0;
};

struct AblateOutcome {
  std::vector<AblationRow> rows;  // "none" first; of the probes that every arm answered
  int64_t num_probes = 0;
  bool complete = false;  // false: interrupted
};

// Asks every probe of every arm, "none" always. `mean_prompts` are read unmasked first to measure
// the mean outputs; only kMean needs them. InputError: options out of range, no probe, a probe that
// does not fit the model's positions, kMean without prompts.
[[nodiscard]] AblateOutcome ablate(const MeasuredModel& model,
                                   const std::vector<AblationArm>& arms,
                                   const std::vector<Probe>& probes,
                                   const std::vector<Probe>& mean_prompts,
                                   const AblateOptions& options,
                                   ProgressSink& progress);

// InputError where a probe has the very prompt of one that the profile was made of: what a score
// was fitted to cannot confirm it.
void check_fresh(const std::vector<Probe>& probes, const HeadProfile& profile);

}  // namespace headscope::profiler
