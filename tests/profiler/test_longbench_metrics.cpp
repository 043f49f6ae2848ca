// LongBench's measures, each worked by hand from its definition in metrics.py.
#include <catch2/catch.hpp>

#include "profiler/answer_metrics.h"
#include "profiler/longbench_metrics.h"

namespace headscope::profiler {
namespace {

using Words = std::vector<std::string>;

TEST_CASE("normalisation drops case, punctuation, articles and spacing", "[profiler]") {
  CHECK(normalised_words("  The U.S. army's\u00a0\"best\" An-swer ") ==
        Words{"us", "armys", "best", "answer"});
  CHECK(normalised_words("A theory, another the") == Words{"theory", "another"});
  // An article ends at punctuation of other scripts too, and is not part of a word of letters.
  CHECK(normalised_words("the\u2014cat th\u00e9") == Words{"\u2014cat", "th\u00e9"});
  CHECK(normalised_words("\u00c9T\u00c9") == Words{"\u00e9t\u00e9"});
  CHECK(normalised_words("The a!").empty());
}

TEST_CASE("exact match asks for the same normalised words in the same order", "[profiler]") {
  CHECK(exact_match("The Hague", "hague.") == 1.0);
  CHECK(exact_match("New York", "York, New") == 0.0);
  CHECK(exact_match("New York", "New York City") == 0.0);
}

TEST_CASE("token F1 drops articles and punctuation", "[profiler]") {
  // {big, red, ball} against {red, ball, today, here}: P = 2/4, R = 2/3.
  CHECK(token_f1("the big, red ball", "A red ball! today here") ==
        Approx(2 * 0.5 * (2.0 / 3.0) / (0.5 + 2.0 / 3.0)));
  CHECK(token_f1("an apple", "The apple.") == 1.0);
  CHECK(token_f1("apple", "pear") == 0.0);
  CHECK(token_f1("it's", "its") == 1.0);  // punctuation goes before the split
  CHECK(token_f1("the", "the") == 0.0);
  // Repeats count: one "no" of two found. P = 1/1, R = 1/2.
  CHECK(token_f1("no no", "no") == Approx(2.0 / 3.0));
}

TEST_CASE("ROUGE-L follows the order of words", "[profiler]") {
  // The package's F has 1e-8 in its denominator.
  const auto f = [](double precision, double recall) {
    return 2.0 * precision * recall / (precision + recall + 1e-8);
  };
  // LCS of (a b c d) and (b d a c) is 2 words: P = R = 1/2.
  CHECK(rouge_l("a b c d", "b d a c") == Approx(f(0.5, 0.5)).epsilon(1e-12));
  // LCS of (a b c) and (a x b) is 2: P = R = 2/3.
  CHECK(rouge_l("a b c", "a x b") == Approx(f(2.0 / 3, 2.0 / 3)).epsilon(1e-12));
  CHECK(rouge_l("a b", "c d") == 0.0);
  CHECK(rouge_l("A", "a") == 0.0);  // letters keep their case
  CHECK(rouge_l("", "a") == 0.0);
  CHECK(rouge_l("a", "...") == 0.0);
}

TEST_CASE("ROUGE-L unites sentences and counts every word once", "[profiler]") {
  // Lin's example: w1 w2 w3 w4 w5 against (w1 w2 w6 w7 w8), (w1 w3 w8 w9 w5). The union is w1 w2 w3
  // w5: 4 of 5 words of the answer, 4 of the 8 different words of the response.
  CHECK(rouge_l("1 2 3 4 5", "1 2 6 7 8. 1 3 8 9 5.") ==
        Approx(2 * 0.5 * 0.8 / (0.5 + 0.8 + 1e-8)).epsilon(1e-12));
  // Repeats are no words of their own: 1 of 1 and 1 of 1.
  CHECK(rouge_l("a a a", "a") == Approx(1.0).epsilon(1e-7));
  // Between two dots stands an empty word: {a, ""} against {a}: P = 1, R = 1/2.
  CHECK(rouge_l("a. .", "a") == Approx(2.0 / 3.0).epsilon(1e-7));
}

TEST_CASE("edit similarity takes the first line that is code", "[profiler]") {
  // The longest common subsequence of kitten and sitting is "ittn": 2 x 4 / 13 = 0.615.
  CHECK(edit_similarity("kitten", "sitting") == 0.62);
  CHECK(edit_similarity("return 5", "\n\nreturn 5\nmore") == 1.0);
  CHECK(edit_similarity("return 5", "```python\n# the answer\n// or\nreturn 5") == 1.0);
  // Its leading spaces are part of the line: 2 x 8 / 17 = 0.941.
  CHECK(edit_similarity("return 5", " return 5") == 0.94);
  // Characters, not bytes: "é" is one of two.
  CHECK(edit_similarity("\u00e9", "\u00e9x") == 0.67);
  CHECK(edit_similarity("abc", "") == 0.0);
  CHECK(edit_similarity("abc", "# abc") == 0.0);
}

TEST_CASE("classification shares the score among the classes that are named", "[profiler]") {
  const Words classes{"Date", "City", "Other city", "Food"};
  CHECK(classification_score("Food", "It is Food", classes) == 1.0);
  CHECK(classification_score("Food", "Food or Date", classes) == 0.5);
  CHECK(classification_score("Food", "food", classes) == 0.0);
  CHECK(classification_score("Food", "Date", classes) == 0.0);
  // "City" is part of "Other City", so it does not count beside it.
  CHECK(classification_score("Other City", "Other City", {"City", "Other City"}) == 1.0);
  // The class after one that was left out is passed by: "the" stays beside "they".
  CHECK(classification_score("they", "they", {"th", "the", "they"}) == 0.5);
}

TEST_CASE("count and retrieval scores share out over the response's numbers", "[profiler]") {
  CHECK(count_score("12", "There are 12.") == 1.0);
  CHECK(count_score("12", "12 or 13, not 12a or 4") == 0.5);
  CHECK(count_score("12", "twelve") == 0.0);
  CHECK(count_score("12", "012") == 0.0);  // compared as written
  CHECK(retrieval_score("Paragraph 7", "Paragraph 7") == 1.0);
  CHECK(retrieval_score("Paragraph 7", "7 of 30") == 0.5);
  CHECK(retrieval_score("Paragraph 7", "Paragraph 17") == 0.0);
  CHECK(retrieval_score("\u6bb5\u843d14", "\u6bb5\u843d14") == 1.0);
  CHECK(retrieval_score("seven", "7") == 0.0);
}

TEST_CASE("the first line of a response is what follows its leading newlines", "[profiler]") {
  CHECK(first_response_line("\n\nRed\nType: Blue") == "Red");
  CHECK(first_response_line("Red") == "Red");
  CHECK(first_response_line("\n").empty());
}

TEST_CASE("a sample is graded by its own metric, on its first line where that is asked",
          "[profiler]") {
  TaskSample sample;
  sample.accepted = {"Date"};
  sample.classes = {"Date", "Food"};
  sample.metric = Metric::kClassification;
  CHECK(grade_response(sample, "Date\nFood") == 0.5);
  sample.grades_first_line = true;
  CHECK(grade_response(sample, "\nDate\nFood") == 1.0);

  TaskSample values;
  values.metric = Metric::kContainsAll;
  values.accepted = {"alpha", "beta", "gamma"};
  CHECK(grade_response(values, "Gamma and ALPHA") == Approx(2.0 / 3.0));
  values.metric = Metric::kContains;
  CHECK(grade_response(values, "Gamma") == 1.0);
  values.metric = Metric::kExactMatch;
  CHECK(grade_response(values, "the beta.") == 1.0);
  values.metric = Metric::kRouge1Recall;
  values.accepted = {"one two three four"};
  CHECK(grade_response(values, "three, one") == 0.5);
  values.metric = Metric::kCount;
  values.accepted = {"4"};
  CHECK(grade_response(values, "4 5") == 0.5);
  values.metric = Metric::kRetrieval;
  values.accepted = {"Paragraph 4"};
  CHECK(grade_response(values, "4") == 1.0);
}

}  // namespace
}  // namespace headscope::profiler
