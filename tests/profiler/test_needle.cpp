#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <set>

#include "outputs/input_error.h"
#include "profiler/needle.h"
#include "profiler/needle_file.h"
#include "tests/support/shared_data.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;

TEST_CASE("built-in needles are all different and repeat with their seed", "[profiler]") {
  const std::vector<Needle> needles = built_in_needles(500, 4);
  const std::vector<Needle> again = built_in_needles(500, 4);
  std::set<std::string> ids;
  std::set<std::string> questions;
  for (size_t i = 0; i < needles.size(); ++i) {
    ids.insert(needles[i].id);
    questions.insert(needles[i].question);
    CHECK(needles[i].statement == again[i].statement);
  }
  CHECK(ids.size() == 500);
  CHECK(questions.size() == 500);
  CHECK(built_in_needles(1, 5)[0].statement != needles[0].statement);
}

TEST_CASE("a needle's prefix and answer make its statement", "[profiler]") {
  for (const Needle& needle : built_in_needles(60, 1)) {
    CHECK(needle.statement == needle.answer_prefix + " " + needle.answer + ".");
    CHECK(find_answer(needle.statement, needle.real_needle) ==
          static_cast<int64_t>(needle.answer_prefix.size() + 1));
    CHECK(needle.question.back() == '?');
    if (needle.family == "number") {
      CHECK(needle.answer.size() == 5);
      CHECK(needle.answer.find_first_not_of("0123456789") == std::string::npos);
    }
  }
}

TEST_CASE("needle families take turns", "[profiler]") {
  const std::vector<Needle> needles = built_in_needles(4, 0);
  CHECK(needles[0].id == "number-000");
  CHECK(needles[1].id == "word-001");
  CHECK(needles[2].family == "number");
  for (const Needle& needle : built_in_needles(10, 0, {"word"})) {
    CHECK(needle.family == "word");
  }
  CHECK_THROWS_WITH(built_in_needles(2, 0, {"verse"}), Contains("verse"));
  CHECK_THROWS_AS(built_in_needles(0, 0), InputError);
  CHECK_THROWS_AS(built_in_needles(100000, 0), InputError);
}

TEST_CASE("the published needle files are read as they are", "[profiler]") {
  const auto retrieval = testing::shared_data("probes/retrieval_head/needles.jsonl");
  const auto reasoning = testing::shared_data("probes/headkv_reasoning/needles.jsonl");
  if (!retrieval || !reasoning) {
    return;
  }
  const std::vector<Needle> needles = read_needle_file(retrieval->string());
  REQUIRE(needles.size() == 3);
  CHECK(needles[1].question == "What is the best thing to do in Beijing ?");
  CHECK(needles[1].answer_prefix.empty());
  CHECK(needles[1].family == "needle");
  // Its answer begins with a capital that the statement does not have.
  CHECK(find_answer(needles[2].statement, needles[2].real_needle) == 33);
  const std::vector<Needle> facts = read_needle_file(reasoning->string());
  REQUIRE(facts.size() == 2);
  CHECK(facts[0].statement.front() == 'M');
  CHECK(facts[0].answer == facts[0].real_needle);
}

TEST_CASE("a needle line may hold every optional field, and the last one no newline",
          "[profiler]") {
  const std::string text =
      R"({"needle": " The tap is in the yard. ", "question": "Where?", "real_needle": "in the yard",)"
      R"( "answer_prefix": "The tap is", "answer": "yard", "family": "places", "id": "tap", "x": 1})"
      "\r\n\n"
      R"({"needle": "Two.", "question": "How many?", "real_needle": "two"})";
  const std::vector<Needle> needles = parse_needles(text, "n.jsonl");
  REQUIRE(needles.size() == 2);
  CHECK(needles[0].statement == "The tap is in the yard.");
  CHECK(needles[0].answer_prefix == "The tap is");
  CHECK(needles[0].answer == "yard");
  CHECK(needles[0].family == "places");
  CHECK(needles[0].id == "tap");
  CHECK(needles[1].id == "line-3");
  CHECK(needles[1].answer == "two");
}

TEST_CASE("a bad needle line is named by file and number", "[profiler]") {
  const std::string good = R"({"needle": "A b.", "question": "q", "real_needle": "b"})"
                           "\n";
  const auto message_of = [&](const std::string& second) -> std::string {
    try {
      static_cast<void>(parse_needles(good + second, "n.jsonl"));
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(message_of("{\"needle\": "), Contains("n.jsonl, line 2") && Contains("JSON"));
  CHECK_THAT(message_of("[1]"), Contains("line 2") && Contains("object"));
  CHECK_THAT(message_of("{\"needle\": \"\xff\"}"), Contains("line 2") && Contains("UTF-8"));
  CHECK_THAT(message_of(R"({"needle": "A b.", "real_needle": "b"})"),
             Contains("line 2") && Contains("question"));
  CHECK_THAT(message_of(R"({"needle": "A b.", "question": 3, "real_needle": "b"})"),
             Contains("line 2") && Contains("number"));
  CHECK_THAT(message_of(R"({"needle": "A b.", "question": " ", "real_needle": "b"})"),
             Contains("question"));
  CHECK_THAT(message_of(R"({"needle": "A b.", "question": "q", "real_needle": "c"})"),
             Contains("line 2") && Contains("real_needle"));
  CHECK_THAT(
      message_of(R"({"needle": "A b.", "question": "q", "real_needle": "b", "id": "line-1"})"),
      Contains("id"));
  CHECK_THROWS_WITH(parse_needles(" \n", "n.jsonl"), Contains("at least one needle"));
  CHECK_THROWS_AS(read_needle_file("/nonexistent/needles.jsonl"), InputError);
  CHECK_THROWS_AS(read_needle_file("/tmp"), InputError);
}

}  // namespace
}  // namespace headscope::profiler
