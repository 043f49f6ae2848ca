#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "outputs/input_error.h"
#include "profiler/needle.h"
#include "profiler/needle_file.h"
#include "profiler/probe_grid.h"
#include "tests/support/shared_data.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::WordTokenizer;

std::string piece(const model::Tokenizer& tokenizer,
                  const std::vector<int64_t>& ids,
                  const TokenSpan& span) {
  return tokenizer.decode({ids.begin() + span.begin, ids.begin() + span.end}, true);
}

size_t occurrences(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

std::vector<Probe> grid_of(const ProbeGridOptions& options,
                           const std::vector<Needle>& needles,
                           const model::Tokenizer& tokenizer) {
  Haystack haystack = Haystack::prose(0);
  return build_probe_grid(options, needles, haystack, PromptWriter(tokenizer, {}));
}

TEST_CASE("prompts are as long as asked, up to a sentence, and never longer", "[profiler]") {
  const WordTokenizer tokenizer;
  ProbeGridOptions options;
  options.context_lengths = {150, 400, 2000};
  options.seed = 3;
  const std::vector<Probe> probes = grid_of(options, built_in_needles(50, 0), tokenizer);
  REQUIRE(probes.size() == 3 * 6 * 2);
  for (size_t i = 0; i < probes.size(); ++i) {
    const int64_t asked = options.context_lengths[i / 12];
    const auto size = static_cast<int64_t>(probes[i].prompt.size());
    CHECK(probes[i].id == static_cast<int64_t>(i));
    CHECK(size <= asked);
    CHECK(size > asked - 80);  // the longest sentences of the prose have some 70 words
  }
}

TEST_CASE("needles stand whole, alone and where they are said to stand", "[profiler]") {
  const WordTokenizer tokenizer;
  const std::vector<Needle> needles = built_in_needles(50, 1);
  ProbeGridOptions options;
  options.context_lengths = {600};
  options.depths = {0.0, 0.25, 0.5, 0.75, 1.0};
  const std::vector<Probe> probes = grid_of(options, needles, tokenizer);
  for (size_t i = 0; i < probes.size(); ++i) {
    const Probe& probe = probes[i];
    const Needle& needle = needles[i];
    INFO(probe.id << " " << needle.statement);
    CHECK(probe.needle_id == needle.id);
    const std::string text = tokenizer.decode(probe.prompt, true);
    CHECK(occurrences(text, needle.statement) == 1);
    const std::string found = piece(tokenizer, probe.prompt, probe.needle_spans[0]);
    CHECK((found == needle.statement || found == " " + needle.statement));
    CHECK(piece(tokenizer, probe.prompt, probe.answer_spans[0]) == " " + needle.answer);
    CHECK(probe.answer_spans[0].begin > probe.needle_spans[0].begin);
    CHECK(probe.answer_spans[0].end < probe.needle_spans[0].end);
    CHECK(tokenizer.decode(probe.gold, true) == " " + needle.answer);
    // A sentence has some 15 words of 580, seldom more than 50.
    CHECK(std::abs(probe.achieved_depth - probe.asked_depth) < 0.05);
    const size_t at = text.find(needle.statement);
    CHECK((at == 0 || (text[at - 1] == ' ' && text[at - 2] != ' ' &&
                       std::string(".?\"").find(text[at - 2]) != std::string::npos)));
  }
}

TEST_CASE("no two prompts are the same even where every depth is one boundary", "[profiler]") {
  const WordTokenizer tokenizer;
  ProbeGridOptions options;
  options.context_lengths = {120};
  options.depths = std::vector<double>(20, 0.5);
  options.needles_per_cell = 1;
  const std::vector<Probe> probes = grid_of(options, built_in_needles(1, 0), tokenizer);
  std::set<std::vector<int64_t>> prompts;
  for (const Probe& probe : probes) {
    prompts.insert(probe.prompt);
  }
  CHECK(prompts.size() == 20);
}

TEST_CASE("the grid repeats with its seed and moves with another", "[profiler]") {
  ProbeGridOptions options;
  options.context_lengths = {200};
  const std::vector<Needle> needles = built_in_needles(20, 0);
  const WordTokenizer first;
  const WordTokenizer second;
  const std::vector<Probe> probes = grid_of(options, needles, first);
  const std::vector<Probe> again = grid_of(options, needles, second);
  options.seed = 1;
  const std::vector<Probe> other = grid_of(options, needles, first);
  for (size_t i = 0; i < probes.size(); ++i) {
    CHECK(probes[i].prompt == again[i].prompt);
    CHECK(probes[i].prompt != other[i].prompt);
  }
}

TEST_CASE("a window that holds the statement already is passed over", "[profiler]") {
  const WordTokenizer tokenizer;
  const std::vector<Needle> needles = parse_needles(
      R"({"needle": "The tap is red.", "question": "Tap?", "real_needle": "red"})", "n");
  Haystack prose = Haystack::prose(4);
  prose.grow(9000);
  Haystack haystack = Haystack::from_text("the TAP is red. " + prose.text(), "own");
  ProbeGridOptions options;
  options.context_lengths = {100};
  options.depths = {0.5};
  options.needles_per_cell = 1;
  for (options.seed = 0; options.seed < 40; ++options.seed) {
    const auto probes = build_probe_grid(options, needles, haystack, PromptWriter(tokenizer, {}));
    CHECK(tokenizer.decode(probes[0].prompt, true).find("TAP") == std::string::npos);
  }
  std::string repeated;
  for (int i = 0; i < 60; ++i) {
    repeated += "The tap is red. ";
  }
  Haystack nothing_else = Haystack::from_text(repeated, "own");
  options.context_lengths = {50};
  CHECK_THROWS_WITH(build_probe_grid(options, needles, nothing_else, PromptWriter(tokenizer, {})),
                    Contains("own") && Contains("line-1"));
}

TEST_CASE("the published needles are placed and found again", "[profiler]") {
  const auto path = testing::shared_data("probes/retrieval_head/needles.jsonl");
  if (!path) {
    return;
  }
  const WordTokenizer tokenizer;
  const std::vector<Needle> needles = read_needle_file(path->string());
  ProbeGridOptions options;
  options.context_lengths = {300};
  options.needles_per_cell = 3;
  for (const Probe& probe : grid_of(options, needles, tokenizer)) {
    CHECK(probe.answer_spans[0].size() > 10);
    CHECK(probe.needle_spans[0].end >= probe.answer_spans[0].end);
    CHECK(probe.needle_spans[0].begin <= probe.answer_spans[0].begin);
  }
}

TEST_CASE("grids that cannot be built are refused in words", "[profiler]") {
  const WordTokenizer tokenizer;
  const std::vector<Needle> needles = built_in_needles(4, 0);
  ProbeGridOptions options;
  options.context_lengths = {20};
  CHECK_THROWS_WITH(grid_of(options, needles, tokenizer), Contains("--context-lengths"));
  options.context_lengths = {0};
  CHECK_THROWS_AS(grid_of(options, needles, tokenizer), InputError);
  options = {};
  options.depths = {0.5, 1.5};
  CHECK_THROWS_WITH(grid_of(options, needles, tokenizer), Contains("--depths"));
  options = {};
  options.needles_per_cell = 5;
  CHECK_THROWS_WITH(grid_of(options, needles, tokenizer), Contains("--needles-per-cell"));
  options = {};
  Haystack small = Haystack::from_text("Only this. And that.", "small.txt");
  CHECK_THROWS_WITH(build_probe_grid(options, needles, small, PromptWriter(tokenizer, {})),
                    Contains("small.txt") && Contains("1024"));
}

}  // namespace
}  // namespace headscope::profiler
