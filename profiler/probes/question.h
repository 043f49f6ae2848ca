// One generated question with everything it is asked of: the description that probes and graded
// tasks are both made from. A family (profiler/tasks/) writes questions; a context layout puts
// their statements among filler; a probe or a task sample is read off the result.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "profiler/probe.h"
#include "profiler/task.h"

namespace headscope::profiler {

struct Statement {
  std::string text;
  // The pieces of the answer that stand in it: byte ranges of `text`, ascending and disjoint. At
  // least one statement of a question has one.
  std::vector<model::ByteSpan> answers;
  bool is_needle = true;  // the answer is made from it; false: it distracts
};

// The text without its square brackets; what stood between them is a piece of the answer.
[[nodiscard]] Statement marked(std::string_view text);
[[nodiscard]] Statement distractor(std::string text);

struct Question {
  std::string family;
  std::string id;                     // one per question of a family ("multi-key-007")
  std::vector<Statement> statements;  // at least one is a needle
  // The statements stand in the order given (the answer depends on it), else in any.
  bool keeps_order = false;
  // What it is about. Two questions that share a subject may contradict each other and do not stand
  // in one context.
  std::vector<std::string> subjects;
  std::string instruction;  // empty = the prompt format's own, with the question as it asks
  std::string question;
  std::string answer_prefix;          // the start of the answer, given to the model
  std::vector<std::string> accepted;  // the first is what a probe's gold answer is
  Metric metric = Metric::kContains;
  int64_t max_new_tokens = 16;
};

// The question of a needle file's or a built-in needle: one statement. InputError where the answer
// does not stand in the statement.
[[nodiscard]] Question question_of(const Needle& needle);
[[nodiscard]] std::vector<Question> questions_of(const std::vector<Needle>& needles);

// Depth 0..1 of each statement when one of them is asked to stand at `depth`: the first needle, the
// others evenly spread over the rest (depth + k/n, from 0 on again beyond 1). Where order is kept
// the same depths go to the statements in their order.
[[nodiscard]] std::vector<double> spread_depths(const Question& question, double depth);

// Which statement stands at the asked depth of spread_depths.
[[nodiscard]] size_t anchor_statement(const Question& question, double depth);

}  // namespace headscope::profiler
