// Reads a pass over random tokens that repeat: how much each head looks at earlier copies of a
// row's own token, and at the tokens that followed those copies (RazorAttention, 2407.15891).
//
// With period P and the repeated part starting at token s, over the rows i >= s + P:
//   echo(h)      = mean over i of sum over m >= 1, i - m P >= s, of a(h, i, i - m P)
//   induction(h) = mean over i of sum over m >= 1, i - m P >= s, of a(h, i, i - m P + 1)
// A weight is exp(scale * q.k - lse) of one query and one key, so no attention matrix is made: time
// and memory beside the pass itself are of the order of rows times repetitions.
#pragma once

#include <cstdint>

#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"

namespace headscope::profiler {

// The first token from which on probe.prompt repeats with probe.repeat_period (what stands in
// front, such as a begin-of-text token, does not). InputError where the period is below 2 or less
// than two periods repeat.
[[nodiscard]] int64_t repeat_begin(const Probe& probe);

// One chunked prefill over the probe's tokens on a cache of its own, `chunk_tokens` at a time.
// Fills echo_mass and induction_mass, NaN for layers whose sliding window does not hold the whole
// prompt. InputError as repeat_begin(), and for a prompt longer than the model's positions.
[[nodiscard]] HeadReading read_repeats(const MeasuredModel& model,
                                       const Probe& probe,
                                       int64_t chunk_tokens);

}  // namespace headscope::profiler
