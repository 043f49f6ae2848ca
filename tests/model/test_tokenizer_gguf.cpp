#include <catch2/catch.hpp>
#include <limits>

#include "model/tokenizer_gguf.h"
#include "outputs/input_error.h"

namespace headscope::testing {
namespace {

using Ids = std::vector<int64_t>;

model::GgufTokenizerData byte_level_data() {
  model::GgufTokenizerData data;
  data.source = "tiny.gguf";
  data.model = "gpt2";
  data.pre = "smollm";
  data.tokens = {"<end>", "a", "b", "1", "\u0120", "ab", "11", "\u0120a", "<user>"};
  data.token_types = {3, 1, 1, 1, 1, 1, 1, 1, 4};
  data.merges = {"a b", "1 1", "\u0120 a"};
  data.bos_id = 0;
  data.eos_id = 0;
  return data;
}

model::GgufTokenizerData sentencepiece_data() {
  model::GgufTokenizerData data;
  data.source = "tiny.gguf";
  data.model = "llama";
  data.tokens = {"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581",
                 "a",     "b",   "c",    "ab",     "bc",     "\u2581a"};
  data.scores = {0, 0, 0, 0, 0, -9, -9, -9, -9, -2, -1, -3};
  data.token_types = {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1};
  data.bos_id = 1;
  data.eos_id = 2;
  data.unknown_id = 0;
  return data;
}

std::string refusal(const model::GgufTokenizerData& data) {
  try {
    (void)model::tokenizer_from_gguf(data);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the pre-tokenizer smollm keeps every digit alone, gpt-2 does not", "[model]") {
  model::GgufTokenizerData data = byte_level_data();
  REQUIRE(model::tokenizer_from_gguf(data)->encode("ab11 a").ids == Ids{5, 3, 3, 7});
  data.pre = "gpt-2";
  REQUIRE(model::tokenizer_from_gguf(data)->encode("ab11 a").ids == Ids{5, 6, 7});
}

TEST_CASE("control tokens are special and user-defined ones are text", "[model]") {
  const auto tokenizer = model::tokenizer_from_gguf(byte_level_data());
  const auto encoding = tokenizer->encode("ab<end><user>");
  REQUIRE(encoding.ids == Ids{5, 0, 8});
  REQUIRE(tokenizer->decode(encoding.ids) == "ab<user>");
  REQUIRE(tokenizer->encode("a<user>", {.parse_special = false}).ids == Ids{1, 8});
}

TEST_CASE("a GGUF file's add_bos_token decides over the pre-tokenizer's habit", "[model]") {
  model::GgufTokenizerData data = byte_level_data();
  REQUIRE(model::tokenizer_from_gguf(data)->encode("a").ids == Ids{1});
  data.pre = "llama-bpe";
  REQUIRE(model::tokenizer_from_gguf(data)->encode("a").ids == Ids{0, 1});
  data.add_bos = false;
  REQUIRE(model::tokenizer_from_gguf(data)->encode("a").ids == Ids{1});
  data.add_bos = true;
  data.add_eos = true;
  REQUIRE(model::tokenizer_from_gguf(data)->encode("a").ids == Ids{0, 1, 0});
}

TEST_CASE("the pair with the highest score merges first", "[model]") {
  model::GgufTokenizerData data = sentencepiece_data();
  REQUIRE(model::tokenizer_from_gguf(data)->encode("abc").ids == Ids{1, 11, 10});
  data.scores[9] = -0.5F;
  REQUIRE(model::tokenizer_from_gguf(data)->encode("abc").ids == Ids{1, 5, 9, 8});
}

TEST_CASE("SentencePiece in GGUF prefixes a blank, falls back to bytes and decodes", "[model]") {
  model::GgufTokenizerData data = sentencepiece_data();
  const auto tokenizer = model::tokenizer_from_gguf(data);
  const auto encoding = tokenizer->encode("a a\u00e9z");
  REQUIRE(encoding.ids == Ids{1, 11, 11, 3, 4, 0});
  REQUIRE(encoding.offsets[2].begin == 1);
  REQUIRE(encoding.offsets[2].end == 3);
  REQUIRE(encoding.offsets[4].begin == 3);
  REQUIRE(encoding.offsets[4].end == 5);
  REQUIRE(tokenizer->decode(encoding.ids) == "a a\u00e9");
  data.add_space_prefix = false;
  data.add_bos = false;
  REQUIRE(model::tokenizer_from_gguf(data)->encode("a a").ids == Ids{6, 11});
}

TEST_CASE("control tokens never come out of merged text", "[model]") {
  model::GgufTokenizerData data = sentencepiece_data();
  data.tokens[2] = "bc";  // a control token spelled like a pair; it would win by its score
  data.tokens[10] = "cb";
  REQUIRE(model::tokenizer_from_gguf(data)->encode("abc", {.parse_special = false}).ids ==
          Ids{1, 5, 9, 8});
}

TEST_CASE("GGUF tokenizers that cannot be used are refused with the key named", "[model]") {
  model::GgufTokenizerData data = byte_level_data();
  SECTION("kinds") {
    data.model = "t5";
    REQUIRE_THAT(refusal(data), Catch::Contains("ggml.model") && Catch::Contains("t5"));
    data = byte_level_data();
    data.pre = "falcon";
    REQUIRE_THAT(refusal(data), Catch::Contains("ggml.pre") && Catch::Contains("falcon"));
  }
  SECTION("merges") {
    data.merges.push_back("a q");
    REQUIRE_THAT(refusal(data), Catch::Contains("merges[3]"));
    data.merges.back() = "";
    REQUIRE_THAT(refusal(data), Catch::Contains("merges[3]"));
    data.merges.clear();
    REQUIRE_THAT(refusal(data), Catch::Contains("merges"));
  }
  SECTION("counts and ids") {
    data.token_types.pop_back();
    REQUIRE_THAT(refusal(data), Catch::Contains("token_type"));
    data = byte_level_data();
    data.bos_id = 9;
    REQUIRE_THAT(refusal(data), Catch::Contains("bos_token_id"));
    data.bos_id = -1;
    REQUIRE_THAT(refusal(data), Catch::Contains("bos_token_id"));
    data.tokens.clear();
    REQUIRE_THAT(refusal(data), Catch::Contains("tokens"));
  }
  SECTION("scores") {
    data = sentencepiece_data();
    data.scores[5] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE_THAT(refusal(data), Catch::Contains("scores[5]"));
    data.scores.pop_back();
    REQUIRE_THAT(refusal(data), Catch::Contains("scores"));
  }
}

}  // namespace headscope::testing
