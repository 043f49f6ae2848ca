// Every family as probes: spans, depths, wordings, controls.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/needle.h"
#include "profiler/probe_grid.h"
#include "profiler/tasks/task_registry.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using testing::WordTokenizer;

std::string piece(const model::Tokenizer& tokenizer,
                  const std::vector<int64_t>& ids,
                  const TokenSpan& span) {
  return tokenizer.decode({ids.begin() + span.begin, ids.begin() + span.end}, true);
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \n");
  return begin == std::string::npos ? ""
                                    : text.substr(begin, text.find_last_not_of(" \n") + 1 - begin);
}

std::vector<Question> questions_of_family(const std::string& name, int64_t count, Wording wording) {
  const auto family = find_family(name, "test");
  std::vector<Question> questions;
  for (int64_t i = 0; i < count; ++i) {
    questions.push_back(write_question(*family, 11, i, wording));
  }
  return questions;
}

std::vector<Probe> probes_of(const std::string& name,
                             const std::vector<Question>& questions,
                             const model::Tokenizer& tokenizer,
                             int64_t controls = 0) {
  ProbeGridOptions options;
  options.context_lengths = {400, 700};
  options.depths = {0.1, 0.5, 1.0};
  options.controls_per_length = controls;
  Haystack haystack = find_family(name, "test")->filler(2);
  return build_probe_grid(options, questions, haystack, PromptWriter(tokenizer, {}));
}

size_t num_needles(const Question& question) {
  return static_cast<size_t>(std::count_if(question.statements.begin(), question.statements.end(),
                                           [](const Statement& s) { return s.is_needle; }));
}

TEST_CASE("every statement and every piece of an answer is found in its prompt", "[profiler]") {
  const WordTokenizer tokenizer;
  for (const std::string& name : task_names()) {
    const auto questions = questions_of_family(name, 12, Wording::kLiteral);
    const auto probes = probes_of(name, questions, tokenizer);
    REQUIRE(probes.size() == 12);
    for (size_t i = 0; i < probes.size(); ++i) {
      INFO(name << " " << questions[i].id);
      const Probe& probe = probes[i];
      REQUIRE(probe.needle_spans.size() == num_needles(questions[i]));
      std::multiset<std::string> found;
      std::multiset<std::string> wanted;
      for (const TokenSpan& span : probe.needle_spans) {
        found.insert(trimmed(piece(tokenizer, probe.prompt, span)));
      }
      for (const Statement& statement : questions[i].statements) {
        if (statement.is_needle) wanted.insert(statement.text);
      }
      CHECK(found == wanted);
      REQUIRE(!probe.answer_spans.empty());
      for (const TokenSpan& span : probe.answer_spans) {
        const std::string text = trimmed(piece(tokenizer, probe.prompt, span));
        CHECK(probe.answer.find(text) != std::string::npos);
        CHECK(std::any_of(probe.needle_spans.begin(), probe.needle_spans.end(),
                          [&](const TokenSpan& needle) {
                            return needle.begin <= span.begin && span.end <= needle.end;
                          }));
      }
      // All of the answer but its joining words is in the spans.
      std::string pieces;
      for (const TokenSpan& span : probe.answer_spans) {
        pieces += piece(tokenizer, probe.prompt, span) + " ";
      }
      CHECK(rouge1_recall(probe.answer, pieces) > 0.75);
    }
  }
}

TEST_CASE("the anchor of every family stands near the asked depth", "[profiler]") {
  const WordTokenizer tokenizer;
  for (const std::string& name : task_names()) {
    const auto questions = questions_of_family(name, 12, Wording::kLiteral);
    for (const Probe& probe : probes_of(name, questions, tokenizer)) {
      INFO(name << " " << probe.id << " asked " << probe.asked_depth << " achieved "
                << probe.achieved_depth);
      // At the end, a statement begins its own length before it.
      CHECK(std::abs(probe.achieved_depth - probe.asked_depth) < 0.16);
    }
  }
}

TEST_CASE("paraphrases ask for the same thing in other words", "[profiler]") {
  for (const std::string& name : task_names()) {
    const auto literal = questions_of_family(name, 40, Wording::kLiteral);
    const auto other = questions_of_family(name, 40, Wording::kParaphrased);
    std::set<std::string> prefixes;
    for (size_t i = 0; i < literal.size(); ++i) {
      INFO(name << " " << other[i].question);
      CHECK(literal[i].id == other[i].id);
      CHECK(other[i].family == literal[i].family + "-paraphrased");
      CHECK(literal[i].accepted == other[i].accepted);
      CHECK(literal[i].answer_prefix != other[i].answer_prefix);
      for (size_t k = 0; k < literal[i].statements.size(); ++k) {
        CHECK(literal[i].statements[k].text == other[i].statements[k].text);
        CHECK(literal[i].statements[k].text.find(other[i].answer_prefix) == std::string::npos);
      }
      CHECK(other[i].question.find('{') == std::string::npos);
      CHECK(other[i].answer_prefix.find('{') == std::string::npos);
      prefixes.insert(other[i].answer_prefix);
    }
    CHECK(prefixes.size() > 1);  // several templates
  }
}

TEST_CASE("questions of a family differ, by the hundred", "[profiler]") {
  for (const std::string& name : task_names()) {
    std::set<std::string> texts;
    for (const Question& question : questions_of_family(name, 500, Wording::kLiteral)) {
      std::string text = question.question + question.answer_prefix;
      for (const Statement& statement : question.statements) text += statement.text;
      texts.insert(text);
    }
    INFO(name);
    CHECK(texts.size() > 490);
  }
}

TEST_CASE("no statement and no answer of a family occurs in its filler", "[profiler]") {
  for (const std::string& name : task_names()) {
    Haystack haystack = find_family(name, "test")->filler(7);
    haystack.grow(200000);
    for (const Question& question : questions_of_family(name, 60, Wording::kLiteral)) {
      for (const Statement& statement : question.statements) {
        INFO(name << ": " << statement.text);
        CHECK(find_answer(haystack.text(), statement.text) < 0);
      }
      // Labels and three-digit numbers are those of the examples around, by design.
      if (name == "few-shot" || name == "code") continue;
      INFO(name << ": " << question.accepted[0]);
      CHECK(find_answer(haystack.text(), " " + question.accepted[0] + " ") < 0);
    }
  }
}

TEST_CASE("at least a third of multi-document questions is made from two documents", "[profiler]") {
  int64_t two = 0;
  for (const Question& question : questions_of_family("multi-qa", 300, Wording::kLiteral)) {
    two += num_needles(question) == 2 ? 1 : 0;
    CHECK(question.metric == Metric::kF1);
  }
  CHECK(two > 150);
}

TEST_CASE("a control asks the same of the same filler without the needle", "[profiler]") {
  const WordTokenizer tokenizer;
  for (const std::string& name : task_names()) {
    const auto questions = questions_of_family(name, 12, Wording::kLiteral);
    const auto without = probes_of(name, questions, tokenizer);
    const auto with = probes_of(name, questions, tokenizer, 2);
    REQUIRE(without.size() == 12);
    REQUIRE(with.size() == 12 + 4);
    for (size_t i = 0; i < without.size(); ++i) CHECK(without[i].prompt == with[i].prompt);
    for (size_t i = without.size(); i < with.size(); ++i) {
      const Probe& control = with[i];
      INFO(name << " control " << i);
      CHECK(control.is_control);
      CHECK(control.id == static_cast<int64_t>(i));
      CHECK(control.prompt.size() <= 700);
      const std::string text = tokenizer.decode(control.prompt, true);
      const auto question =
          std::find_if(questions.begin(), questions.end(),
                       [&](const Question& q) { return q.id == control.needle_id; });
      REQUIRE(question != questions.end());
      for (const Statement& statement : question->statements) {
        CHECK((text.find(statement.text) == std::string::npos) == statement.is_needle);
      }
      CHECK(text.find(question->question) != std::string::npos);
      CHECK(control.needle_spans.size() == num_needles(*question));
      REQUIRE(!control.answer_spans.empty());
      for (const TokenSpan& span : control.answer_spans) {
        CHECK(std::any_of(control.needle_spans.begin(), control.needle_spans.end(),
                          [&](const TokenSpan& needle) {
                            return needle.begin <= span.begin && span.end <= needle.end;
                          }));
      }
    }
  }
}

TEST_CASE("prompts of all depths and lengths share what stands before the needle", "[profiler]") {
  const WordTokenizer tokenizer;
  ProbeGridOptions options;
  options.context_lengths = {300, 600, 900};
  options.depths = {0.5, 0.9};
  options.needles_per_cell = 1;
  Haystack haystack = Haystack::prose(0);
  const auto probes =
      build_probe_grid(options, built_in_needles(6, 0), haystack, PromptWriter(tokenizer, {}));
  for (const Probe& probe : probes) {
    const int64_t shared = std::min(probe.needle_spans[0].begin, probes[0].needle_spans[0].begin);
    CHECK(shared > 100);
    CHECK(
        std::equal(probe.prompt.begin(), probe.prompt.begin() + shared, probes[0].prompt.begin()));
  }
}

}  // namespace
}  // namespace headscope::profiler
