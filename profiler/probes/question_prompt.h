// From a question in its context to a probe: the prompt's ids, and where in them the statements and
// the pieces of the answer stand.
#pragma once

#include <string>
#include <vector>

#include "profiler/probe.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

// A prompt in text and in tokens.
struct QuestionPrompt {
  PromptText text;
  model::Encoding encoding;
};

[[nodiscard]] QuestionPrompt write_prompt(const PromptWriter& writer,
                                          const std::string& context,
                                          const Question& question);

// The probe of a question whose statements stand at `statements` (byte ranges of the context).
// Spans are found from offsets and verified by decoding them. Left to the caller: id. InputError
// where a statement cannot be found again in the encoded prompt.
[[nodiscard]] Probe read_probe(const PromptWriter& writer,
                               const QuestionPrompt& prompt,
                               const Question& question,
                               const std::vector<model::ByteSpan>& statements,
                               double asked_depth);

// Spans in order, overlapping ones as one.
[[nodiscard]] std::vector<TokenSpan> merged_spans(std::vector<TokenSpan> spans);

}  // namespace headscope::profiler
