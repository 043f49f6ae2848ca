// A run's probes as a whole: families, wordings, controls, repeated tokens, shared haystacks.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "outputs/input_error.h"
#include "profiler/needle_file.h"
#include "profiler/probe_audit.h"
#include "profiler/probe_preset.h"
#include "profiler/probes/family_probes.h"
#include "profiler/probes/repeated_tokens.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::WordTokenizer;

FamilyRequest small_request(std::vector<std::string> families) {
  FamilyRequest request;
  request.families = std::move(families);
  request.grid.context_lengths = {420};
  request.grid.depths = {0.2, 0.8};
  request.grid.needles_per_cell = 2;
  return request;
}

std::vector<Probe> build(const FamilyRequest& request, const model::Tokenizer& tokenizer) {
  return build_family_probes(request, nullptr, nullptr, PromptWriter(tokenizer, {}));
}

std::map<std::string, int64_t> count_families(const std::vector<Probe>& probes) {
  std::map<std::string, int64_t> counts;
  for (const Probe& probe : probes) ++counts[probe.family];
  return counts;
}

// A vocabulary to draw from.
void fill(const WordTokenizer& tokenizer, int words) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    text += " w" + std::string(1, static_cast<char>('a' + i % 26)) +
            std::string(1, static_cast<char>('a' + i / 26 % 26));
  }
  static_cast<void>(tokenizer.encode(text));
}

TEST_CASE("all families together: every family its grid, no prompt twice", "[profiler]") {
  const WordTokenizer tokenizer;
  fill(tokenizer, 300);
  FamilyRequest request = small_request({"all"});
  request.grid.controls_per_length = 1;
  const std::vector<Probe> probes = build(request, tokenizer);
  const auto counts = count_families(probes);
  CHECK(counts.size() == probe_family_names().size() - 1);  // "needle" as number and word
  CHECK(counts.at("number") + counts.at("word") == 4 + 1);
  CHECK(counts.at("aggregation") == 4 + 1);
  CHECK(counts.at("repeat") == 2);
  int64_t total = 0;
  for (const int64_t count : probes_per_length(request)) total += count;
  CHECK(std::ssize(probes) == total);
  std::set<std::vector<int64_t>> prompts;
  for (size_t i = 0; i < probes.size(); ++i) {
    CHECK(probes[i].id == static_cast<int64_t>(i));
    CHECK(prompts.insert(probes[i].prompt).second);
    // Controls come last.
    if (i > 0) CHECK(probes[i].is_control >= probes[i - 1].is_control);
  }
}

TEST_CASE("kinds of needle share one grid, whatever they are called", "[profiler]") {
  const WordTokenizer tokenizer;
  const auto one = build(small_request({"needle"}), tokenizer);
  const auto other = build(small_request({"word", "number", "needle"}), tokenizer);
  REQUIRE(one.size() == 4);
  REQUIRE(other.size() == 4);
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].prompt == other[i].prompt);
  CHECK(count_families(build(small_request({"word"}), tokenizer)).at("word") == 4);
}

TEST_CASE("both wordings ask for the same needles", "[profiler]") {
  const WordTokenizer tokenizer;
  FamilyRequest request = small_request({"needle", "multi-key"});
  request.questions = QuestionChoice::kBoth;
  const auto probes = build(request, tokenizer);
  std::map<std::string, std::set<std::string>> wordings;
  for (const Probe& probe : probes) wordings[probe.needle_id].insert(probe.family);
  CHECK(wordings.size() == 4);
  for (const auto& [needle, families] : wordings) {
    INFO(needle);
    CHECK(families.size() == 2);
    CHECK(families.rbegin()->ends_with("-paraphrased"));
  }
}

TEST_CASE("a few needles serve many cells", "[profiler]") {
  const WordTokenizer tokenizer;
  FamilyRequest request = small_request({"reasoning"});
  request.num_needles = 2;
  request.grid.depths = {0.1, 0.3, 0.5, 0.7, 0.9};
  std::map<std::string, int64_t> needles;
  for (const Probe& probe : build(request, tokenizer)) ++needles[probe.needle_id];
  CHECK(needles == std::map<std::string, int64_t>{{"reasoning-000", 5}, {"reasoning-001", 5}});
}

TEST_CASE("needles of one's own stand in for the built-in kinds", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  const std::vector<Needle> own = parse_needles(
      "{\"needle\": \"The tap is red.\", \"question\": \"Tap?\", \"real_needle\": \"red\"}\n"
      "{\"needle\": \"The mug is blue.\", \"question\": \"Mug?\", \"real_needle\": \"blue\"}\n",
      "n");
  const auto probes = build_family_probes(small_request({"needle", "qa"}), &own, nullptr, writer);
  CHECK(probes[0].needle_id == "line-1");
  CHECK(count_families(probes).at("qa") == 4);
  CHECK_THROWS_WITH(build_family_probes(small_request({"qa"}), &own, nullptr, writer),
                    Contains("--needles"));
  FamilyRequest reworded = small_request({"needle"});
  reworded.questions = QuestionChoice::kBoth;
  CHECK_THROWS_WITH(build_family_probes(reworded, &own, nullptr, writer), Contains("--questions"));
}

TEST_CASE("families that there are not are refused with those there are", "[profiler]") {
  const WordTokenizer tokenizer;
  CHECK_THROWS_WITH(build(small_request({"needle", "riddle"}), tokenizer),
                    Contains("riddle") && Contains("variable-tracking") && Contains("repeat"));
  CHECK_THROWS_AS(build(small_request({}), tokenizer), InputError);
  FamilyRequest request = small_request({"qa"});
  request.num_needles = -1;
  CHECK_THROWS_WITH(build(request, tokenizer), Contains("--num-needles"));
  CHECK_THROWS_AS(parse_question_choice("rude"), InputError);
}

TEST_CASE("two probes with one prompt are refused by name", "[profiler]") {
  Probe one;
  one.prompt = {1, 2, 3};
  one.needle_id = "first";
  Probe other = one;
  other.id = 1;
  other.needle_id = "second";
  CHECK_THROWS_WITH(refuse_duplicate_prompts({one, other}),
                    Contains("first") && Contains("second"));
  other.prompt = {1, 2, 4};
  CHECK_NOTHROW(refuse_duplicate_prompts({one, other}));
}

TEST_CASE("repeated tokens are ordinary, different within a period, and repeat", "[profiler]") {
  const WordTokenizer tokenizer({"<s>", "<end>"});
  fill(tokenizer, 200);
  const std::vector<Probe> probes = build_repeated_tokens({101, 400}, 2, 5, tokenizer);
  REQUIRE(probes.size() == 4);
  CHECK(probes[0].repeat_period == 25);
  CHECK(probes[2].repeat_period == 99);
  CHECK(probes[0].prompt != probes[1].prompt);
  for (const Probe& probe : probes) {
    CHECK(probe.needle_spans.empty());
    CHECK(probe.answer_spans.empty());
    CHECK(probe.gold.empty());
    CHECK(std::ssize(probe.prompt) == 1 + 4 * probe.repeat_period);
    CHECK(probe.prompt[0] == *tokenizer.bos_id());
    const std::set<int64_t> period(probe.prompt.begin() + 1,
                                   probe.prompt.begin() + 1 + probe.repeat_period);
    CHECK(std::ssize(period) == probe.repeat_period);
    CHECK(period.count(0) + period.count(1) == 0);  // the special tokens
    for (size_t i = 1; i + static_cast<size_t>(probe.repeat_period) < probe.prompt.size(); ++i) {
      REQUIRE(probe.prompt[i] == probe.prompt[i + static_cast<size_t>(probe.repeat_period)]);
    }
  }
  CHECK(build_repeated_tokens({50000}, 1, 0, tokenizer)[0].repeat_period <= 205);
  CHECK_THROWS_WITH(build_repeated_tokens({8}, 1, 0, tokenizer), Contains("--context-lengths"));
}

TEST_CASE("shared haystacks hold the grid's questions, controls and repeats beside", "[profiler]") {
  const WordTokenizer tokenizer;
  fill(tokenizer, 300);
  FamilyRequest request = small_request({"needle", "multi-key", "code", "repeat"});
  request.grid.controls_per_length = 1;
  const SharedProbes shared =
      build_shared_family_probes(request, 0.4, nullptr, nullptr, PromptWriter(tokenizer, {}));
  std::vector<Probe> all;
  bool is_mixed = false;
  for (const SharedGroup& group : shared.groups) {
    all.insert(all.end(), group.probes.begin(), group.probes.end());
    is_mixed = is_mixed || count_families(group.probes).size() > 2;
  }
  CHECK(is_mixed);
  auto counts = count_families(all);
  CHECK(counts["number"] + counts["word"] == 4);
  CHECK(counts["multi-key"] == 4);
  CHECK(counts["code"] == 4);
  REQUIRE(shared.alone.size() == 2 + 3);
  all.insert(all.end(), shared.alone.begin(), shared.alone.end());
  for (size_t i = 0; i < all.size(); ++i) CHECK(all[i].id == static_cast<int64_t>(i));
}

TEST_CASE("even lengths run from the shortest to what the model holds", "[profiler]") {
  CHECK(even_lengths(1000, 50000, 20, 131072).front() == 1000);
  CHECK(even_lengths(1000, 50000, 20, 131072).back() == 50000);
  CHECK(even_lengths(1000, 50000, 20, 131072)[1] == 3579);
  CHECK(even_lengths(2000, 10000, 5, 8128) == std::vector<int64_t>{2000, 3532, 5064, 6596, 8128});
  CHECK(even_lengths(2000, 10000, 5, 1000) == std::vector<int64_t>{200, 400, 600, 800, 1000});
  CHECK(even_lengths(800, 1000, 3, 9000) == std::vector<int64_t>{800, 900, 1000});
  CHECK_THROWS_AS(even_lengths(0, 10, 2, 100), InputError);
  CHECK_THROWS_AS(even_lengths(20, 10, 2, 100), InputError);
}

TEST_CASE("the papers' presets have the papers' counts", "[profiler]") {
  const auto values = [](const std::string& name, const std::string& key) {
    for (const ProbePreset& preset : probe_presets()) {
      for (const ProbeSetting& setting : preset.settings) {
        if (preset.name == name && setting.key == key) return setting.values;
      }
    }
    return std::vector<std::string>{};
  };
  for (const auto& [name, needles, lengths] :
       {std::tuple{"paper-compresskv", "3", "20"}, std::tuple{"paper-headkv-r", "3", "5"},
        std::tuple{"paper-headkv-r2", "2", "5"}}) {
    INFO(name);
    CHECK(values(name, "needles-per-cell") == std::vector<std::string>{needles});
    CHECK(values(name, "num-needles") == std::vector<std::string>{needles});
    CHECK(values(name, "context-range").back() == lengths);
    CHECK(values(name, "depths").size() == 10);
  }
}

}  // namespace
}  // namespace headscope::profiler
