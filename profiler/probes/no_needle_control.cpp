#include "profiler/probes/no_needle_control.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "profiler/probes/question_prompt.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kCandidates = 48;  // sentences among which the nearest in length is taken

// Sentences that follow the window, or, at the haystack's end, that precede it.
std::vector<int64_t> sentences_beyond(const SentenceTokens& tokens, const LaidContext& laid) {
  const int64_t end = laid.start + laid.num_sentences;
  std::vector<int64_t> sentences;
  for (int64_t i = end; i < std::min(end + kCandidates, tokens.num_sentences()); ++i) {
    sentences.push_back(i);
  }
  for (int64_t i = laid.start - 1; i >= 0 && std::ssize(sentences) < kCandidates; --i) {
    sentences.push_back(i);
  }
  return sentences;
}

int64_t take_nearest(SentenceTokens& tokens, std::vector<int64_t>& sentences, int64_t size) {
  const auto nearest =
      std::min_element(sentences.begin(), sentences.end(), [&](int64_t a, int64_t b) {
        return std::abs(tokens.count(a) - size) < std::abs(tokens.count(b) - size);
      });
  const int64_t sentence = *nearest;
  sentences.erase(nearest);
  return sentence;
}

// The question with other sentences in its needles' places.
Question without_needles(SentenceTokens& tokens,
                         const Question& question,
                         const LaidContext& laid) {
  Question other = question;
  std::vector<int64_t> sentences = sentences_beyond(tokens, laid);
  for (Statement& statement : other.statements) {
    if (statement.is_needle && !sentences.empty()) {
      const int64_t chosen = take_nearest(tokens, sentences, tokens.count_of(statement.text));
      statement = {tokens.text(chosen, chosen + 1), {}, /*is_needle=*/true};
    }
  }
  return other;
}

// The middle of a sentence.
TokenSpan stretch_of(const TokenSpan& sentence, int64_t size) {
  const int64_t taken = std::clamp<int64_t>(size, 1, sentence.size());
  const int64_t begin = sentence.begin + (sentence.size() - taken) / 2;
  return {begin, begin + taken};
}

}  // namespace

Probe make_control(const PromptWriter& writer,
                   SentenceTokens& tokens,
                   const Question& question,
                   const LaidContext& laid,
                   double depth,
                   int64_t context_length) {
  const Question other = without_needles(tokens, question, laid);
  const std::vector<PlacedStatement> statements = place_statements(other, depth);
  int64_t n = laid.num_sentences;
  LaidContext context = lay_context(tokens, statements, laid.start, n);
  QuestionPrompt prompt = write_prompt(writer, context.text, other);
  while (n > 1 && static_cast<int64_t>(prompt.encoding.ids.size()) > context_length) {
    context = lay_context(tokens, statements, laid.start, --n);
    prompt = write_prompt(writer, context.text, other);
  }
  Probe control = read_probe(writer, prompt, other, context.statements, depth);
  control.is_control = true;
  for (size_t i = 0; i < question.statements.size(); ++i) {
    const Statement& original = question.statements[i];
    if (!original.is_needle) continue;
    const model::ByteSpan& bytes = context.statements[i];
    const int64_t at = prompt.text.context.begin;
    const TokenSpan sentence =
        covering_tokens(prompt.encoding, {at + bytes.begin, at + bytes.end}).value();
    int64_t size = 0;
    for (const model::ByteSpan& piece : original.answers) {
      size += tokens.count_of(original.text.substr(static_cast<size_t>(piece.begin),
                                                   static_cast<size_t>(piece.end - piece.begin)));
    }
    if (size > 0) control.answer_spans.push_back(stretch_of(sentence, size));
  }
  control.answer_spans = merged_spans(std::move(control.answer_spans));
  return control;
}

}  // namespace headscope::profiler
