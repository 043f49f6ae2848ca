// Many needles in one haystack, each asked on its own: one context serves all questions of a group.
// This is another experiment than one needle in one haystack: other needles stand around.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probe.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

struct SharedHaystackOptions {
  std::vector<int64_t> context_lengths = {1024};  // tokens of the longest prompt of a group
  // Of the context's tokens at most so many belong to statements, 0..1; a group has at least one
  // question.
  double max_share = 0.4;
  uint64_t seed = 0;  // which windows of the haystack, which depths
};

struct SharedGroup {
  // What the prompts of all probes of the group begin with: the context whole, and what follows it
  // up to where the questions differ.
  std::vector<int64_t> prefix;
  // Prompt = prefix + a suffix of the probe's own (at least one token); spans within the prefix.
  std::vector<Probe> probes;
};

// Every question once, at every context length: the questions are dealt in the order given, and one
// that shares a subject with another of the group waits for the next group. Depths are spread
// evenly over a group (asked_depth says which), in seeded random order. Ids are 0, 1, … over all
// groups. Every prompt is encoded as a whole, so each probe is exactly what it would be alone. No
// statement of a group occurs in its window of the haystack. InputError: options out of range, no
// question, a context too short for a question, a haystack too short, a needle that cannot be found
// again in the encoded prompt.
[[nodiscard]] std::vector<SharedGroup> build_shared_probes(const SharedHaystackOptions& options,
                                                           const std::vector<Question>& questions,
                                                           Haystack& haystack,
                                                           const PromptWriter& writer);

}  // namespace headscope::profiler
