#include "profiler/probes/question_prompt.h"

#include <algorithm>

#include "outputs/input_error.h"

namespace headscope::profiler {

QuestionPrompt write_prompt(const PromptWriter& writer,
                            const std::string& context,
                            const Question& question) {
  QuestionPrompt prompt;
  prompt.text = question.instruction.empty()
                    ? writer.write(context, question.question, question.answer_prefix)
                    : writer.write_task(context, question.instruction, question.question,
                                        question.answer_prefix);
  prompt.encoding = writer.encode(prompt.text.text);
  return prompt;
}

std::vector<TokenSpan> merged_spans(std::vector<TokenSpan> spans) {
  std::sort(spans.begin(), spans.end(),
            [](const TokenSpan& a, const TokenSpan& b) { return a.begin < b.begin; });
  std::vector<TokenSpan> merged;
  for (const TokenSpan& span : spans) {
    // Neighbours stay apart: two statements that touch are still two.
    if (merged.empty() || span.begin >= merged.back().end) {
      merged.push_back(span);
    } else {
      merged.back().end = std::max(merged.back().end, span.end);
    }
  }
  return merged;
}

Probe read_probe(const PromptWriter& writer,
                 const QuestionPrompt& prompt,
                 const Question& question,
                 const std::vector<model::ByteSpan>& statements,
                 double asked_depth) {
  const int64_t context_at = prompt.text.context.begin;
  const auto verified = [&](int64_t begin, int64_t end) {
    const model::ByteSpan range{context_at + begin, context_at + end};
    const auto span = writer.token_span(prompt.text.text, prompt.encoding, range);
    if (!span) {
      throw InputError("needle " + question.id, "its text to be found again in the encoded prompt",
                       "other tokens", "Use text that this model's tokenizer keeps as it is.");
    }
    return *span;
  };
  Probe probe;
  probe.family = question.family;
  probe.needle_id = question.id;
  probe.prompt_format = writer.format_name();
  probe.prompt = prompt.encoding.ids;
  probe.answer = question.accepted.front();
  probe.gold = writer.continuation(prompt.text.text, prompt.encoding, probe.answer);
  for (size_t i = 0; i < statements.size(); ++i) {
    if (question.statements[i].is_needle) {
      probe.needle_spans.push_back(verified(statements[i].begin, statements[i].end));
    }
    for (const model::ByteSpan& piece : question.statements[i].answers) {
      const int64_t at = statements[i].begin;
      probe.answer_spans.push_back(verified(at + piece.begin, at + piece.end));
    }
  }
  probe.needle_spans = merged_spans(std::move(probe.needle_spans));
  probe.answer_spans = merged_spans(std::move(probe.answer_spans));
  probe.asked_depth = asked_depth;
  const model::ByteSpan& anchor = statements[anchor_statement(question, asked_depth)];
  const TokenSpan context = covering_tokens(prompt.encoding, prompt.text.context).value();
  probe.achieved_depth =
      static_cast<double>(verified(anchor.begin, anchor.end).begin - context.begin) /
      static_cast<double>(context.size());
  return probe;
}

}  // namespace headscope::profiler
