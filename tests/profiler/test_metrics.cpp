#include <catch2/catch.hpp>

#include "profiler/answer_metrics.h"

namespace headscope::profiler {
namespace {

TEST_CASE("ROUGE-1 recall is the share of the answer's words in the response", "[profiler]") {
  // Answer: take a walk in the park (6 words); found: a, walk, park.
  CHECK(rouge1_recall("take a walk in the park", "A walk, at some park.") == Approx(0.5));
  CHECK(rouge1_recall("48213", "It is 48213.") == 1.0);
  CHECK(rouge1_recall("the cat the dog", "the bird") == Approx(0.25));  // one "the" counts once
  CHECK(rouge1_recall("can't", "can t") == 1.0);                        // split at the apostrophe
  CHECK(rouge1_recall("word", "") == 0.0);
  CHECK(rouge1_recall("...", "...") == 0.0);
  CHECK(rouge1_recall("今天", "是 今天") == 1.0);
}

TEST_CASE("an answer is contained whatever its case and spacing", "[profiler]") {
  CHECK(contains_answer("New York", "in new\n york, of course") == 1.0);
  CHECK(contains_answer("York New", "in new york") == 0.0);
  CHECK(contains_answer("", "anything") == 0.0);
}

TEST_CASE("the share of answers that a response holds", "[profiler]") {
  CHECK(contains_all({"a1", "b2", "c3"}, "C3, then a1") == Approx(2.0 / 3.0));
  CHECK(contains_all({}, "anything") == 0.0);
}

TEST_CASE("a response is graded against the best of the accepted answers", "[profiler]") {
  TaskSample sample;
  sample.accepted = {"red", "dark red"};
  CHECK(grade_response(sample, "Dark Red!") == 1.0);
  CHECK(grade_response(sample, "blue") == 0.0);
  sample.metric = Metric::kF1;
  CHECK(grade_response(sample, "dark red") == 1.0);
  sample.metric = Metric::kRougeL;
  CHECK(grade_response(sample, "very dark red") == Approx(0.8));
  sample.metric = Metric::kEditSimilarity;
  CHECK(grade_response(sample, "red\nand so on") == 1.0);
}

}  // namespace
}  // namespace headscope::profiler
