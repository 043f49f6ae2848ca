#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <sstream>

#include "outputs/input_error.h"
#include "profiler/haystack.h"
#include "profiler/needle.h"
#include "profiler/prose.h"
#include "tests/support/scratch_folder.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::ScratchFolder;

std::vector<std::string> sentences_of(const std::string& text) {
  std::vector<std::string> sentences;
  for (const model::ByteSpan& span : find_sentences(text)) {
    sentences.push_back(
        text.substr(static_cast<size_t>(span.begin), static_cast<size_t>(span.end - span.begin)));
  }
  return sentences;
}

TEST_CASE("prose repeats with its seed, and writing more changes nothing before", "[profiler]") {
  const std::string shorter = write_prose(9, 20000);
  const std::string longer = write_prose(9, 60000);
  CHECK(longer.substr(0, shorter.size()) == shorter);
  CHECK(write_prose(10, 20000) != shorter);
  // Golden: the generator and its draws are the same on every platform.
  CHECK(shorter.substr(0, 44) == "It had been three days since Gregor Tremaine");
}

TEST_CASE("prose holds no digits and none of the words that needles ask for", "[profiler]") {
  const std::string text = write_prose(2, 2000000);
  std::string lower;
  bool is_plain = true;
  for (const char byte : text) {
    is_plain =
        is_plain && (byte == '\n' || (byte >= ' ' && byte < 127)) && !(byte >= '0' && byte <= '9');
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  }
  CHECK(is_plain);
  for (const std::string& word : needle_answer_words()) {
    INFO(word);
    CHECK(lower.find(word) == std::string::npos);
  }
  CHECK(lower.find('{') == std::string::npos);
  for (const Needle& needle : built_in_needles(200, 3)) {
    CHECK(text.find(needle.answer_prefix) == std::string::npos);
  }
}

TEST_CASE("prose hardly repeats itself", "[profiler]") {
  const std::vector<std::string> sentences = sentences_of(write_prose(5, 1000000));
  const std::set<std::string> different(sentences.begin(), sentences.end());
  REQUIRE(sentences.size() > 8000);
  CHECK(static_cast<double>(different.size()) > 0.9 * static_cast<double>(sentences.size()));
  std::set<std::string> words;
  for (const std::string& sentence : sentences) {
    std::istringstream stream(sentence);
    for (std::string word; stream >> word;) {
      words.insert(word);
    }
  }
  CHECK(words.size() > 1000);
}

TEST_CASE("sentences end where a reader would end them", "[profiler]") {
  CHECK(sentences_of("One. Two! Three? Four") ==
        std::vector<std::string>{"One.", "Two!", "Three?", "Four"});
  CHECK(sentences_of("Mr. Hall met J. S. Bach at 3.15 today. Then?\"  \"Why,\" he said...") ==
        std::vector<std::string>{"Mr. Hall met J. S. Bach at 3.15 today.", "Then?\"",
                                 "\"Why,\" he said..."});
  CHECK(sentences_of("A heading\n\nSome text.\nMore.") ==
        std::vector<std::string>{"A heading", "Some text.", "More."});
  CHECK(sentences_of("今天下雨。明天呢？好") ==
        std::vector<std::string>{"今天下雨。", "明天呢？", "好"});
  CHECK(sentences_of("Wait\u2026 now.) Yes") ==
        std::vector<std::string>{"Wait\u2026", "now.)", "Yes"});
  CHECK(sentences_of(" \n\t ").empty());
}

TEST_CASE("text without sentences is still cut into places for a needle", "[profiler]") {
  std::string lines;
  for (int i = 0; i < 100; ++i) {
    lines += "column one, column two, column three\n";
  }
  const std::vector<std::string> pieces = sentences_of(lines);
  CHECK(pieces.size() > 5);
  for (const std::string& piece : pieces) {
    CHECK(piece.size() <= 600);
    CHECK(piece.substr(0, 6) == "column");
  }
  const std::string word(2000, 'x');
  CHECK(sentences_of(word) == std::vector<std::string>{word});
  CHECK(sentences_of(word + " " + word).size() == 2);
}

TEST_CASE("a folder's text files are joined in the order of their names", "[profiler]") {
  const ScratchFolder folder;
  folder.write("b.txt", "Second file.");
  folder.write("a.txt",
               "\xEF\xBB\xBF"
               "First file.\n");
  folder.write("c.md", "Not text.");
  const Haystack haystack = Haystack::read(folder.path());
  CHECK(haystack.text() == "First file.\n\n\nSecond file.");
  CHECK(haystack.sentences().size() == 2);
  CHECK(!haystack.can_grow());
}

TEST_CASE("a haystack that cannot serve is refused in words", "[profiler]") {
  const ScratchFolder folder;
  CHECK_THROWS_WITH(Haystack::read(folder.path()), Contains("*.txt"));
  CHECK_THROWS_WITH(Haystack::read(folder.file("none.txt")), Contains("none.txt"));
  folder.write("bad.txt", "abc\xC3(");
  CHECK_THROWS_WITH(Haystack::read(folder.file("bad.txt")), Contains("UTF-8") && Contains("3"));
  folder.write("empty.txt", " \n");
  CHECK_THROWS_AS(Haystack::read(folder.file("empty.txt")), InputError);
}

TEST_CASE("UTF-8 is told from what only looks like it", "[profiler]") {
  CHECK(first_invalid_utf8("plain, é, 今, 😀") == -1);
  CHECK(first_invalid_utf8("a\x80") == 1);
  CHECK(first_invalid_utf8("\xC0\xAF") == 0);          // overlong
  CHECK(first_invalid_utf8("\xED\xA0\x80") == 0);      // surrogate
  CHECK(first_invalid_utf8("\xF4\x90\x80\x80") == 0);  // beyond Unicode
  CHECK(first_invalid_utf8("ab\xE4\xBB") == 2);        // cut off
}

TEST_CASE("prose grows without changing what was there", "[profiler]") {
  Haystack haystack = Haystack::prose(1);
  haystack.grow(5000);
  const std::string before = haystack.text();
  const size_t sentences = haystack.sentences().size();
  CHECK(before.size() >= 5000);
  haystack.grow(20000);
  CHECK(haystack.text().substr(0, before.size()) == before);
  CHECK(haystack.sentences().size() > sentences);
  for (const model::ByteSpan& span : haystack.sentences()) {
    const char last = haystack.text()[static_cast<size_t>(span.end) - 1];
    CHECK((last == '.' || last == '?' || last == '"'));
  }
}

}  // namespace
}  // namespace headscope::profiler
