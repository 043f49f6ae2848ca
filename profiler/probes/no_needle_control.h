// Controls: a probe's question over the same filler with the needle left out. What a model answers
// then, it answers from its prior; what a head's mass is then, it is where nothing is to be found.
#pragma once

#include <cstdint>

#include "profiler/probe.h"
#include "profiler/probes/context_layout.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

// The mirror of a probe laid out as `laid` says. Each needle statement gives way to a sentence of
// the haystack from beyond the window: of those not yet taken, the one whose length in tokens comes
// nearest (distractors stay). needle_spans are those sentences; answer_spans a stretch in the
// middle of each, as long as the pieces of the answer that stood in its place, at most the whole
// sentence. The context ends a sentence earlier where the prompt would be longer than
// `context_length`. Left to the caller: id.
[[nodiscard]] Probe make_control(const PromptWriter& writer,
                                 SentenceTokens& tokens,
                                 const Question& question,
                                 const LaidContext& laid,
                                 double depth,
                                 int64_t context_length);

}  // namespace headscope::profiler
