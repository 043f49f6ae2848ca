#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/tasks/task_registry.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::WordTokenizer;

TEST_CASE("there are at least five task families", "[profiler]") {
  const std::vector<std::string> names = task_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 12);
  for (const std::string& name : default_task_names()) {
    CHECK(std::find(names.begin(), names.end(), name) != names.end());
  }
  CHECK(default_task_names().size() >= 5);
}

TEST_CASE("every family fills its context, never more, with different questions", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  for (const std::string& task : task_names()) {
    for (const int64_t context_length : {300, 1000}) {
      INFO(task << " at " << context_length);
      const auto samples = build_task_samples({task, 6, context_length, 2}, writer);
      REQUIRE(samples.size() == 6);
      std::set<std::vector<int64_t>> prompts;
      for (const TaskSample& sample : samples) {
        const auto size = static_cast<int64_t>(sample.prompt.size());
        CHECK(size <= context_length);
        CHECK(size > context_length - 90);  // a sentence or a function less at most
        CHECK(sample.task == task);
        CHECK(sample.context_length == context_length);
        CHECK(sample.max_new_tokens > 0);
        REQUIRE(!sample.accepted.empty());
        CHECK(grade_response(sample, sample.accepted[0]) == Approx(1.0));
        CHECK(grade_response(sample, "") == 0.0);
        prompts.insert(sample.prompt);
      }
      CHECK(prompts.size() == 6);
    }
  }
}

TEST_CASE("the answer stands in the context it is asked of", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  for (const std::string task :
       {"needle", "multi-key", "reasoning", "qa", "multi-qa", "few-shot", "code", "aggregation"}) {
    for (const TaskSample& sample : build_task_samples({task, 10, 400, 5}, writer)) {
      INFO(task << " " << sample.accepted[0]);
      CHECK(tokenizer.decode(sample.prompt, true).find(sample.accepted[0]) != std::string::npos);
    }
  }
}

TEST_CASE("a sample is the same whatever the number of samples", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  for (const std::string& task : task_names()) {
    const auto few = build_task_samples({task, 2, 300, 7}, writer);
    const auto more = build_task_samples({task, 4, 300, 7}, writer);
    CHECK(few[1].prompt == more[1].prompt);
    CHECK(build_task_samples({task, 1, 300, 8}, writer)[0].prompt != few[0].prompt);
  }
}

TEST_CASE("filler may be the user's text", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += "Zinnias grow here. ";
  }
  Haystack own = Haystack::from_text(text, "own");
  const auto samples = build_task_samples({"qa", 2, 500, 0}, writer, &own);
  CHECK(tokenizer.decode(samples[0].prompt, true).find("Zinnias") != std::string::npos);
  Haystack tiny = Haystack::from_text("One. Two.", "tiny");
  CHECK_THROWS_WITH(build_task_samples({"needle", 1, 500, 0}, writer, &tiny), Contains("tiny"));
}

TEST_CASE("tasks that cannot be built are refused in words", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  CHECK_THROWS_WITH(build_task_samples({"sums", 1, 500, 0}, writer),
                    Contains("sums") && Contains("few-shot"));
  CHECK_THROWS_AS(build_task_samples({"qa", 0, 500, 0}, writer), InputError);
  CHECK_THROWS_WITH(build_task_samples({"qa", 1, 30, 0}, writer), Contains("30"));
}

}  // namespace
}  // namespace headscope::profiler
