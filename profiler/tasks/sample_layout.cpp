#include "profiler/tasks/sample_layout.h"

#include <string>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/probes/context_layout.h"
#include "profiler/probes/haystack_windows.h"
#include "profiler/probes/question_prompt.h"

namespace headscope::profiler {

void check_depths(const std::vector<double>& depths) {
  for (const double depth : depths) {
    if (!(depth >= 0.0 && depth <= 1.0)) {
      throw InputError("depths", "numbers from 0 to 1", std::to_string(depth));
    }
  }
}

TaskSample lay_sample(const Question& question,
                      SentenceTokens& tokens,
                      const SampleLayout& layout,
                      const PromptWriter& writer) {
  HaystackWindows windows(tokens, layout.context_length, layout.window);
  const LaidContext laid = windows.first_that_fits(
      place_statements(question, layout.depth), question.id,
      [&](const LaidContext& context) {
        return static_cast<int64_t>(
            write_prompt(writer, context.text, question).encoding.ids.size());
      },
      [](const LaidContext&) { return true; });
  QuestionPrompt prompt = write_prompt(writer, laid.text, question);
  TaskSample sample;
  sample.context_length = layout.context_length;
  sample.context_tokens = tokens_before(prompt.encoding, prompt.text.context.end);
  sample.prompt = std::move(prompt.encoding.ids);
  sample.accepted = question.accepted;
  sample.metric = question.metric;
  sample.max_new_tokens = question.max_new_tokens;
  // A summary may have lines.
  sample.stop_at_newline = question.metric != Metric::kRougeL;
  if (question.statements.size() == 1) sample.depth = layout.depth;
  return sample;
}

}  // namespace headscope::profiler
