// Probes over a grid of context lengths and depths: each question's statements in a haystack.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probe.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

struct ProbeGridOptions {
  std::vector<int64_t> context_lengths = {512, 1024};           // tokens of the whole prompt
  std::vector<double> depths = {0.1, 0.3, 0.5, 0.7, 0.9, 1.0};  // 0..1 of the haystack
  int64_t needles_per_cell = 2;     // >= 1; a cell is one context length at one depth
  int64_t controls_per_length = 0;  // >= 0; controls of each context length, beside its probes
  uint64_t seed = 0;                // which needles and which windows of the haystack

  [[nodiscard]] int64_t num_probes() const {
    return static_cast<int64_t>(context_lengths.size() * depths.size()) * needles_per_cell;
  }
};

// context_lengths x depths x needles_per_cell probes, ids 0, 1, … in that order, then the controls.
// Questions are dealt in the order given, from the start again when they are used up; a cell never
// gets one question twice. A prompt has at most context_length tokens, and not a sentence of
// haystack less than would fit. The statements stand at sentence boundaries, the anchor
// (question.h) at the one nearest the asked depth; spans are verified. The windows of a cell are
// those of every cell, so that prompts of all depths and lengths share what stands before the
// needle. No two prompts are the same: where two depths fall on one boundary, another window of the
// haystack is taken, and also where a statement occurs in the window. Built-in prose grows as
// needed.
//
// A control is one of the probes, spread over the depths, with its needle statements replaced by
// sentences that follow the window in the haystack (no_needle_control.h); controls_per_length of
// them at every context length. All else of the list is the same with and without them.
//
// InputError: options out of range, fewer questions than a cell holds, a context too short for
// statements and question, a haystack too short, a needle that cannot be found again in the encoded
// prompt.
[[nodiscard]] std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                                  const std::vector<Question>& questions,
                                                  Haystack& haystack,
                                                  const PromptWriter& writer);

// The same for needles.
[[nodiscard]] std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                                  const std::vector<Needle>& needles,
                                                  Haystack& haystack,
                                                  const PromptWriter& writer);

}  // namespace headscope::profiler
