// From a question to a graded sample: the question in a window of filler, as a prompt.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/haystack_window.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct SampleLayout {
  int64_t context_length = 512;  // tokens of the whole prompt: never more, and nearly so many
  double depth = 0.0;            // 0..1 of the question's anchor (question.h)
  uint64_t window = 0;           // a draw: which part of the filler is tried first
};

// InputError where any of the depths is not in 0..1.
void check_depths(const std::vector<double>& depths);

// Everything but `task` and `sample` is filled in. InputError where the question finds no room.
[[nodiscard]] TaskSample lay_sample(const Question& question,
                                    SentenceTokens& tokens,
                                    const SampleLayout& layout,
                                    const PromptWriter& writer);

}  // namespace headscope::profiler
