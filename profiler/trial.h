// One trial: what one probe measured, under an address made of everything that bears on it. Two
// trials of one address are the same trial, wherever and whenever they ran; that is what lets a run
// resume, ranks share the work, and profiles be merged.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "profiler/measured_model.h"
#include "profiler/probe.h"

namespace headscope::profiler {

struct ProfileOptions;

struct Trial {
  std::string address;      // 64 hex digits
  std::string response;     // valid UTF-8; empty for repeated tokens
  double gate_value = 0.0;  // ROUGE-1 recall of the answer in the response, 0..1
  // By score name, [num_layers * num_query_heads], as measured whatever the gate says; NaN where a
  // score has nothing to say about the probe or a layer.
  std::map<std::string, std::vector<float>> samples;

  bool operator==(const Trial&) const = default;
};

// What all trials of a run have in common, by name: the model's fingerprint, a digest of the
// tokenizer, dtype, kind of device, scores, and the options that bear on a trial. Which probes are
// run, the seed and the gate's threshold are no part of it.
using TrialRun = std::map<std::string, std::string>;

[[nodiscard]] TrialRun trial_run(const MeasuredModel& model, const ProfileOptions& options);

// SHA-256 of the run, and of the probe's prompt, gold answer, spans, accepted answer and kind.
[[nodiscard]] std::string trial_address(const TrialRun& run, const Probe& probe);

// SHA-256 of the prompt's ids, as ProbeRecord::prompt_hash.
[[nodiscard]] std::string prompt_hash(const std::vector<int64_t>& prompt);

}  // namespace headscope::profiler
