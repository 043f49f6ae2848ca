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

TEST_CASE("token F1 drops articles and punctuation", "[profiler]") {
  // {big, red, ball} against {red, ball, today, here}: P = 2/4, R = 2/3.
  CHECK(token_f1("the big, red ball", "A red ball! today here") ==
        Approx(2 * 0.5 * (2.0 / 3.0) / (0.5 + 2.0 / 3.0)));
  CHECK(token_f1("an apple", "The apple.") == 1.0);
  CHECK(token_f1("apple", "pear") == 0.0);
  CHECK(token_f1("it's", "its") == 1.0);  // punctuation goes before the split
  CHECK(token_f1("the", "the") == 0.0);
}

TEST_CASE("ROUGE-L follows the order of words", "[profiler]") {
  // LCS of (a b c d) and (b d a c) is 2 words: P = R = 1/2.
  CHECK(rouge_l("a b c d", "b d a c") == Approx(0.5));
  // LCS of (a b c) and (a x b) is 2: P = R = 2/3.
  CHECK(rouge_l("a b c", "a x b") == Approx(2.0 / 3.0));
  CHECK(rouge_l("a b", "c d") == 0.0);
}

TEST_CASE("edit similarity compares the first lines", "[profiler]") {
  // kitten -> sitting takes 3 edits over 7 letters.
  CHECK(edit_similarity("kitten", "sitting") == Approx(1.0 - 3.0 / 7.0));
  CHECK(edit_similarity("return 5", "\n  return 5 \nmore") == 1.0);
  CHECK(edit_similarity("abc", "") == 0.0);
  CHECK(edit_similarity("", "") == 0.0);
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
