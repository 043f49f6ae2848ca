#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "outputs/input_error.h"
#include "profiler/needle.h"
#include "profiler/probes/shared_haystack.h"
#include "profiler/tasks/task_registry.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::WordTokenizer;

std::vector<Question> mixed_questions(int64_t count) {
  std::vector<Question> questions = questions_of(built_in_needles(count, 3));
  for (const std::string name : {"multi-key", "qa", "summary"}) {
    const auto family = find_family(name, "test");
    for (int64_t i = 0; i < count / 4; ++i) {
      questions.push_back(write_question(*family, 3, i, Wording::kLiteral));
    }
  }
  return questions;
}

TEST_CASE("probes of a group share everything up to their question", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  Haystack haystack = Haystack::prose(0);
  SharedHaystackOptions options;
  options.context_lengths = {500, 900};
  const std::vector<Question> questions = mixed_questions(40);
  const auto groups = build_shared_probes(options, questions, haystack, writer);
  std::multiset<std::string> asked;
  int64_t id = 0;
  for (const SharedGroup& group : groups) {
    for (const Probe& probe : group.probes) {
      CHECK(probe.id == id++);
      CHECK(probe.prompt.size() > group.prefix.size());
      CHECK(probe.prompt.size() <= 900);
      CHECK(std::equal(group.prefix.begin(), group.prefix.end(), probe.prompt.begin()));
      CHECK(probe.needle_spans.back().end <= static_cast<int64_t>(group.prefix.size()));
      CHECK(probe.answer_spans.back().end <= static_cast<int64_t>(group.prefix.size()));
      asked.insert(probe.needle_id);
    }
  }
  CHECK(groups.size() < questions.size());  // many to a haystack
  for (const Question& question : questions) CHECK(asked.count(question.id) == 2);
}

TEST_CASE("needles of a group fill no more than their share, at depths apart", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  Haystack haystack = Haystack::prose(0);
  SharedHaystackOptions options;
  options.context_lengths = {1000};
  options.max_share = 0.25;
  const auto groups =
      build_shared_probes(options, questions_of(built_in_needles(60, 1)), haystack, writer);
  REQUIRE(groups.size() > 1);
  for (const SharedGroup& group : groups) {
    int64_t size = 0;
    std::set<double> depths;
    for (const Probe& probe : group.probes) {
      size += probe.needle_spans[0].size();
      depths.insert(probe.asked_depth);
      CHECK(std::abs(probe.achieved_depth - probe.asked_depth) < 0.06);
    }
    CHECK(size <= 260);
    CHECK(depths.size() == group.probes.size());
  }
}

TEST_CASE("questions on one subject stand in different haystacks", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  Haystack haystack = Haystack::prose(0);
  std::vector<Question> questions = questions_of(built_in_needles(2, 0));
  Question other = questions[0];
  other.id = "again";
  questions.push_back(other);
  const auto groups = build_shared_probes({}, questions, haystack, writer);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].probes.size() == 2);
  CHECK(groups[1].probes[0].needle_id == "again");
}

TEST_CASE("shared haystacks that cannot be built are refused in words", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  Haystack haystack = Haystack::prose(0);
  const std::vector<Question> questions = questions_of(built_in_needles(2, 0));
  CHECK_THROWS_WITH(build_shared_probes({}, {}, haystack, writer), Contains("question"));
  SharedHaystackOptions options;
  options.max_share = 1.5;
  CHECK_THROWS_WITH(build_shared_probes(options, questions, haystack, writer), Contains("share"));
  options = {};
  options.context_lengths = {30};
  CHECK_THROWS_WITH(build_shared_probes(options, questions, haystack, writer),
                    Contains("--context-lengths"));
}

}  // namespace
}  // namespace headscope::profiler
