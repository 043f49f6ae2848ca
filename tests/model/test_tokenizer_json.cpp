#include <catch2/catch.hpp>

#include "outputs/input_error.h"
#include "tests/model/tiny_tokenizer.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {
namespace {

using Ids = std::vector<int64_t>;
using Spans = std::vector<std::pair<int64_t, int64_t>>;
using nlohmann::json;

Spans spans_of(const model::Encoding& encoding) {
  Spans spans;
  for (const auto& span : encoding.offsets) spans.emplace_back(span.begin, span.end);
  return spans;
}

Ids ids_of(const model::Tokenizer& tokenizer, const std::string& text) {
  return tokenizer.encode(text).ids;
}

std::string refusal(const std::string& text) {
  try {
    (void)open_text(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

std::string refusal(const json& file) {
  return refusal(file.dump());
}

}  // namespace

TEST_CASE("merges apply by rank, the leftmost first", "[model]") {
  const auto tokenizer = open_json(byte_level_file());
  REQUIRE(tokenizer->kind() == "byte-level BPE");
  REQUIRE(ids_of(*tokenizer, "abab ab") == Ids{6, 6, 8});
  REQUIRE(ids_of(*tokenizer, "a a") == Ids{0, 7});
  REQUIRE(ids_of(*tokenizer, "") == Ids{});
  REQUIRE(tokenizer->vocab_size() == 11);
  REQUIRE(tokenizer->id_of("ab") == 6);
  REQUIRE_FALSE(tokenizer->id_of("zz").has_value());
}

TEST_CASE("merges written as pairs mean the same as merges written as text", "[model]") {
  json file = byte_level_file();
  file["model"]["merges"] = json::array(
      {json::array({"a", "b"}), json::array({"\u0120", "a"}), json::array({"\u0120", "ab"})});
  REQUIRE(ids_of(*open_json(file), "abab ab") == Ids{6, 6, 8});
}

TEST_CASE("ignore_merges takes a whole piece that is a token", "[model]") {
  json file = byte_level_file();
  file["model"]["merges"] = json::array({"a b"});
  REQUIRE(ids_of(*open_json(file), " ab") == Ids{3, 6});
  file["model"]["ignore_merges"] = true;
  REQUIRE(ids_of(*open_json(file), " ab") == Ids{8});
}

TEST_CASE("bytes of one character share its span", "[model]") {
  const auto tokenizer = open_json(byte_level_file());
  const auto encoding = tokenizer->encode("ab\u00e9c");
  REQUIRE(encoding.ids == Ids{6, 4, 5, 2});
  REQUIRE(spans_of(encoding) == Spans{{0, 2}, {2, 4}, {2, 4}, {4, 5}});
  REQUIRE(tokenizer->decode(encoding.ids) == "ab\u00e9c");
  REQUIRE(tokenizer->decode({4}) == "\ufffd");
}

TEST_CASE("special tokens in the text become their id unless that is off", "[model]") {
  json file = byte_level_file();
  file["model"]["vocab"]["<"] = 11;
  const auto tokenizer = open_json(file);
  const auto encoding = tokenizer->encode("ab<end> ab");
  REQUIRE(encoding.ids == Ids{6, 10, 8});
  REQUIRE(spans_of(encoding) == Spans{{0, 2}, {2, 7}, {7, 10}});
  REQUIRE(tokenizer->decode(encoding.ids) == "ab ab");
  REQUIRE(tokenizer->decode(encoding.ids, /*skip_special=*/false) == "ab<end> ab");
  // 'e', 'n', 'd' and '>' have no token and there is no unknown token: they vanish.
  REQUIRE(tokenizer->encode("ab<end>", {.parse_special = false}).ids == Ids{6, 11});
}

TEST_CASE("added tokens take blanks along, keep out of words and prefer the longest", "[model]") {
  json file = byte_level_file();
  json wide = added_token("<w>", 11, /*special=*/false);
  wide["lstrip"] = wide["rstrip"] = true;
  json word = added_token("ca", 12, /*special=*/false);
  word["single_word"] = true;
  file["added_tokens"] = {added_token("<end>", 10), wide, word, added_token("<end>>", 13)};
  const auto tokenizer = open_json(file);
  const auto encoding = tokenizer->encode("a  <w> b");
  REQUIRE(encoding.ids == Ids{0, 11, 1});
  REQUIRE(spans_of(encoding) == Spans{{0, 1}, {1, 7}, {7, 8}});
  REQUIRE(ids_of(*tokenizer, "ca b ca") == Ids{12, 3, 1, 3, 12});
  REQUIRE(ids_of(*tokenizer, "cab") == Ids{2, 6});
  REQUIRE(ids_of(*tokenizer, "<end>>") == Ids{13});
  REQUIRE(tokenizer->decode({11}) == "<w>");
}

TEST_CASE("SentencePiece form prefixes a blank and falls back to bytes", "[model]") {
  const auto tokenizer = open_json(sentencepiece_file());
  REQUIRE(tokenizer->kind() == "SentencePiece BPE");
  const auto encoding = tokenizer->encode("ab ab\u4f60");
  REQUIRE(encoding.ids == Ids{1, 9, 9, 2, 3, 4});
  REQUIRE(spans_of(encoding) == Spans{{0, 0}, {0, 2}, {2, 5}, {5, 8}, {5, 8}, {5, 8}});
  REQUIRE(tokenizer->decode(encoding.ids) == "ab ab\u4f60");
  REQUIRE(tokenizer->decode({2, 3}) == "\ufffd\ufffd");
  REQUIRE(tokenizer->encode("ab", {.add_special = false}).ids == Ids{9});
  REQUIRE(tokenizer->bos_id() == 1);
}

TEST_CASE("unknown characters in a row become one unknown token", "[model]") {
  json file = sentencepiece_file();
  REQUIRE(ids_of(*open_json(file), "abzz") == Ids{1, 9, 0});
  const auto encoding = open_json(file)->encode("abz\u00e9b");
  REQUIRE(encoding.offsets[2].begin == 2);
  REQUIRE(encoding.offsets[2].end == 5);
  file["model"]["fuse_unk"] = false;
  REQUIRE(ids_of(*open_json(file), "abzz") == Ids{1, 9, 0, 0});
}

TEST_CASE("Metaspace prefixes always, at the start only, or never", "[model]") {
  json file = sentencepiece_file();
  file["normalizer"] = nullptr;
  const auto ids = [&](const std::string& scheme, const std::string& text) {
    file["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", "\u2581"},
                             {"prepend_scheme", scheme},
                             {"split", false}};
    return open_json(file)->encode(text, {.add_special = false}).ids;
  };
  REQUIRE(ids("always", "ab<s>ab") == Ids{9, 1, 9});
  REQUIRE(ids("first", "ab<s>ab") == Ids{9, 1, 8});
  REQUIRE(ids("never", "ab<s>ab") == Ids{8, 1, 8});
  REQUIRE(ids("always", " ab") == Ids{9});
}

TEST_CASE("spans cover all that a normalized character came from", "[model]") {
  json file = byte_level_file();
  file["normalizer"] = {{"type", "NFC"}};
  const auto tokenizer = open_json(file);
  const auto encoding = tokenizer->encode("ae\u0301b");  // e and a combining acute accent
  REQUIRE(encoding.ids == Ids{0, 4, 5, 1});
  REQUIRE(spans_of(encoding) == Spans{{0, 1}, {1, 4}, {1, 4}, {4, 5}});
}

TEST_CASE("digits stand alone where the file says so", "[model]") {
  json file = byte_level_file();
  file["model"]["vocab"]["11"] = 11;
  file["model"]["merges"].push_back("1 1");
  REQUIRE(ids_of(*open_json(file), "111") == Ids{11, 9});
  const json byte_level = file["pre_tokenizer"];
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level}}};
  REQUIRE(ids_of(*open_json(file), "111") == Ids{9, 9, 9});
}

TEST_CASE("truncation and padding of the file are ignored", "[model]") {
  json file = byte_level_file();
  file["truncation"] = {{"max_length", 1}, {"direction", "Right"}};
  file["padding"] = {{"strategy", {{"Fixed", 9}}}, {"pad_id", 0}};
  REQUIRE(ids_of(*open_json(file), "ab ab ab") == Ids{6, 8, 8});
}

TEST_CASE("bytes that are no UTF-8 are tokenized as replacement characters", "[model]") {
  json file = byte_level_file();
  const std::vector<std::string> replacement = {"\u00ef", "\u00bf", "\u00bd"};
  for (size_t i = 0; i < replacement.size(); ++i) {
    file["model"]["vocab"][replacement[i]] = 11 + i;
  }
  const auto tokenizer = open_json(file);
  const auto encoding = tokenizer->encode(
      "a\xE4\xBD"
      "b");
  REQUIRE(encoding.ids == Ids{0, 11, 12, 13, 1});
  REQUIRE(spans_of(encoding) == Spans{{0, 1}, {1, 3}, {1, 3}, {1, 3}, {3, 4}});
}

TEST_CASE("tokenizer_config.json names the BOS and EOS tokens", "[model]") {
  const ScratchFolder folder;
  const auto tokenizer = model::tokenizer_from_json(
      folder.write("tokenizer.json", sentencepiece_file().dump()),
      folder.write("tokenizer_config.json",
                   R"({"bos_token": {"content": "<s>"}, "eos_token": "ab"})"));
  REQUIRE(tokenizer->bos_id() == 1);
  REQUIRE(tokenizer->eos_id() == 8);
}

TEST_CASE("files that cannot be used are refused with the entry named", "[model]") {
  json file = byte_level_file();
  SECTION("no merges") {
    file["model"].erase("merges");
    REQUIRE_THAT(refusal(file), Catch::Contains("merges"));
  }
  SECTION("another model") {
    file["model"] = {{"type", "Unigram"}, {"vocab", json::array()}};
    REQUIRE_THAT(refusal(file), Catch::Contains("Unigram") && Catch::Contains("Supported"));
  }
  SECTION("a merge of an unknown token") {
    file["model"]["merges"].push_back("a q");
    REQUIRE_THAT(refusal(file), Catch::Contains("merges[3]") && Catch::Contains("\"q\""));
  }
  SECTION("a merge that is none") {
    file["model"]["merges"].push_back("abc");
    REQUIRE_THAT(refusal(file), Catch::Contains("merges[3]"));
    file["model"]["merges"][3] = json::array({"a", 3});
    REQUIRE_THAT(refusal(file), Catch::Contains("merges[3]"));
  }
  SECTION("an id of the wrong type or out of range") {
    file["model"]["vocab"]["a"] = "zero";
    REQUIRE_THAT(refusal(file), Catch::Contains("vocab.a"));
    file["model"]["vocab"]["a"] = -1;
    REQUIRE_THAT(refusal(file), Catch::Contains("vocab.a"));
    file["model"]["vocab"]["a"] = int64_t{1} << 60;
    REQUIRE_THAT(refusal(file), Catch::Contains("vocab.a"));
  }
  SECTION("unsupported steps") {
    file["normalizer"] = {{"type", "BertNormalizer"}};
    REQUIRE_THAT(refusal(file), Catch::Contains("BertNormalizer") && Catch::Contains("NFC"));
    file["normalizer"] = nullptr;
    file["pre_tokenizer"] = {{"type", "Whitespace"}};
    REQUIRE_THAT(refusal(file), Catch::Contains("Whitespace") && Catch::Contains("ByteLevel"));
    file["pre_tokenizer"] = nullptr;
    file["post_processor"] = {{"type", "BertProcessing"}};
    REQUIRE_THAT(refusal(file), Catch::Contains("BertProcessing"));
    file["post_processor"] = nullptr;
    file["decoder"] = {{"type", "CTC"}};
    REQUIRE_THAT(refusal(file), Catch::Contains("CTC"));
  }
  SECTION("a broken expression") {
    file["pre_tokenizer"] = {{"type", "Split"},
                             {"pattern", {{"Regex", "(a"}}},
                             {"behavior", "Isolated"},
                             {"invert", false}};
    REQUIRE_THAT(refusal(file), Catch::Contains("Regex") && Catch::Contains("(a"));
  }
  SECTION("sequences nested without end") {
    std::string nested = R"({"type": "NFC"})";
    for (int i = 0; i < 2000; ++i) nested = R"({"type":"Sequence","normalizers":[)" + nested + "]}";
    file["normalizer"] = json::parse(nested);
    REQUIRE_THAT(refusal(file), Catch::Contains("nested"));
  }
}

TEST_CASE("every truncation of a tokenizer file is refused", "[model]") {
  const std::string whole = sentencepiece_file().dump();
  for (size_t length = 0; length < whole.size(); length += 7) {
    INFO("length " << length);
    REQUIRE_THAT(refusal(whole.substr(0, length)), Catch::Contains("JSON"));
  }
  REQUIRE_THAT(refusal(std::string("[1, 2]")), Catch::Contains("model"));
}

}  // namespace headscope::testing
