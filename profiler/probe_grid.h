// Needle-in-a-haystack probes over a grid of context lengths and depths.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probe.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

struct ProbeGridOptions {
  std::vector<int64_t> context_lengths = {512, 1024};           // tokens of the whole prompt
  std::vector<double> depths = {0.1, 0.3, 0.5, 0.7, 0.9, 1.0};  // 0..1 of the haystack
  int64_t needles_per_cell = 2;  // >= 1; a cell is one context length at one depth
  uint64_t seed = 0;             // which needles and which windows of the haystack
};

// context_lengths x depths x needles_per_cell probes, ids 0, 1, … in that order. Needles are dealt
// in the order given, from the start again when they are used up; a cell never gets one needle
// twice. A prompt has at most context_length tokens, and not a sentence of haystack less than would
// fit. The needle stands at the sentence boundary nearest the asked depth, between single spaces;
// its span and its answer's span are verified. No two prompts are the same: where two depths fall
// on one boundary, another window of the haystack is taken, and also where the statement occurs in
// the window. Built-in prose grows as needed. InputError: options out of range, fewer needles than
// a cell holds, a context too short for needle and question, a haystack too short, a needle that
// cannot be found again in the encoded prompt.
[[nodiscard]] std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                                  const std::vector<Needle>& needles,
                                                  Haystack& haystack,
                                                  const PromptWriter& writer);

}  // namespace headscope::profiler
