#include "profiler/probes/question.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/needle.h"

namespace headscope::profiler {
namespace {

size_t first_needle(const Question& question) {
  for (size_t i = 0; i < question.statements.size(); ++i) {
    if (question.statements[i].is_needle) {
      return i;
    }
  }
  throw std::invalid_argument("question " + question.id + ": no needle among its statements");
}

// The k-th of n places that begin at `depth` and go round.
double place(double depth, size_t k, size_t n) {
  const double at = depth + static_cast<double>(k) / static_cast<double>(n);
  return at > 1.0 ? at - 1.0 : at;
}

}  // namespace

Statement marked(std::string_view text) {
  Statement statement;
  int64_t begin = -1;
  for (const char byte : text) {
    const auto here = static_cast<int64_t>(statement.text.size());
    if (byte == '[' && begin < 0) {
      begin = here;
    } else if (byte == ']' && begin >= 0) {
      statement.answers.push_back({begin, here});
      begin = -1;
    } else {
      statement.text += byte;
    }
  }
  return statement;
}

Statement distractor(std::string text) {
  return {std::move(text), {}, /*is_needle=*/false};
}

Question question_of(const Needle& needle) {
  const int64_t at = find_answer(needle.statement, needle.real_needle);
  if (at < 0) {
    throw InputError("needle " + needle.id, "an answer that stands in its statement",
                     "\"" + needle.real_needle + "\"");
  }
  Question question;
  question.family = needle.family;
  question.id = needle.id;
  question.statements = {
      {needle.statement, {{at, at + static_cast<int64_t>(needle.real_needle.size())}}}};
  question.subjects = {needle.subject.empty() ? needle.statement : needle.subject};
  question.question = needle.question;
  question.answer_prefix = needle.answer_prefix;
  question.accepted = {needle.answer};
  return question;
}

std::vector<Question> questions_of(const std::vector<Needle>& needles) {
  std::vector<Question> questions;
  questions.reserve(needles.size());
  for (const Needle& needle : needles) {
    questions.push_back(question_of(needle));
  }
  return questions;
}

std::vector<double> spread_depths(const Question& question, double depth) {
  const size_t count = question.statements.size();
  const size_t first = first_needle(question);
  std::vector<double> depths(count);
  for (size_t k = 0; k < count; ++k) {
    depths[(first + k) % count] = place(depth, k, count);
  }
  if (question.keeps_order) {
    std::sort(depths.begin(), depths.end());
  }
  return depths;
}

size_t anchor_statement(const Question& question, double depth) {
  if (!question.keeps_order) {
    return first_needle(question);
  }
  const std::vector<double> depths = spread_depths(question, depth);
  return static_cast<size_t>(std::find(depths.begin(), depths.end(), depth) - depths.begin());
}

}  // namespace headscope::profiler
