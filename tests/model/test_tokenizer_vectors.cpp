#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/tokenizer_gguf.h"
#include "model/tokenizer_json.h"
#include "tests/support/shared_data.h"

namespace headscope::testing {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Vector {
  std::string text;
  std::vector<int64_t> ids;
};

// Texts end with a separator line of their own, ids stand one text to a line.
std::vector<Vector> read_vectors(const std::filesystem::path& folder, const std::string& name) {
  const std::string texts = read_file(folder / ("ggml-vocab-" + name + ".gguf.inp"));
  std::istringstream lines(read_file(folder / ("ggml-vocab-" + name + ".gguf.out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<Vector> vectors;
  size_t begin = 0;
  for (size_t end = texts.find(separator); end != std::string::npos;
       end = texts.find(separator, begin)) {
    Vector vector{texts.substr(begin, end - begin), {}};
    std::string line;
    REQUIRE(std::getline(lines, line));
    std::istringstream ids(line);
    for (int64_t id = 0; ids >> id;) vector.ids.push_back(id);
    vectors.push_back(std::move(vector));
    begin = end + separator.size();
  }
  return vectors;
}

void check_vectors(const std::string& tokenizer_name, const std::string& vectors_name) {
  const auto tokenizer_path = shared_data("tokenizers/" + tokenizer_name + "/tokenizer.json");
  const auto folder = shared_data("tokenizers/vectors");
  if (!tokenizer_path || !folder) return;
  const auto tokenizer = model::tokenizer_from_json(tokenizer_path->string());
  const std::vector<Vector> vectors = read_vectors(*folder, vectors_name);
  REQUIRE(vectors.size() == 46);
  for (const Vector& vector : vectors) {
    INFO("text \"" << vector.text << "\"");
    const auto encoding =
        tokenizer->encode(vector.text, {.add_special = false, .parse_special = false});
    CHECK(encoding.ids == vector.ids);
    CHECK(encoding.offsets.size() == encoding.ids.size());
  }
}

// The keys that a GGUF file of a byte-level tokenizer.json would have.
model::GgufTokenizerData as_gguf(const std::filesystem::path& path, const std::string& pre) {
  const auto file = nlohmann::json::parse(read_file(path));
  model::GgufTokenizerData data;
  data.source = path.filename().string();
  data.model = "gpt2";
  data.pre = pre;
  data.add_bos = false;
  for (const auto& [token, id] : file["model"]["vocab"].items()) {
    data.tokens.resize(std::max(data.tokens.size(), id.get<size_t>() + 1));
    data.tokens[id.get<size_t>()] = token;
  }
  for (const auto& merge : file["model"]["merges"]) {
    data.merges.push_back(merge.is_string()
                              ? merge.get<std::string>()
                              : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return data;
}

void check_gguf_vectors(const std::string& tokenizer_name, const std::string& pre) {
  const auto tokenizer_path = shared_data("tokenizers/" + tokenizer_name + "/tokenizer.json");
  const auto folder = shared_data("tokenizers/vectors");
  if (!tokenizer_path || !folder) return;
  const auto tokenizer = model::tokenizer_from_gguf(as_gguf(*tokenizer_path, pre));
  for (const Vector& vector : read_vectors(*folder, pre)) {
    INFO("text \"" << vector.text << "\"");
    CHECK(tokenizer->encode(vector.text, {.parse_special = false}).ids == vector.ids);
  }
}

}  // namespace

TEST_CASE("GPT-2's tokenizer gives the published ids", "[model]") {
  check_vectors("gpt2", "gpt-2");
}
TEST_CASE("Llama-2's tokenizer gives the published ids", "[model]") {
  check_vectors("llama2", "llama-spm");
}
TEST_CASE("Llama-3's tokenizer gives the published ids", "[model]") {
  check_vectors("llama3", "llama-bpe");
}
TEST_CASE("Qwen2.5's tokenizer gives the published ids", "[model]") {
  check_vectors("qwen2.5", "qwen2");
}

TEST_CASE("the same tokenizers give the same ids out of GGUF keys", "[model]") {
  check_gguf_vectors("gpt2", "gpt-2");
  check_gguf_vectors("llama3", "llama-bpe");
  check_gguf_vectors("qwen2.5", "qwen2");
}

TEST_CASE("stories260K's tokenizer gives the stored ids", "[model]") {
  const auto folder = shared_data("models/stories260K");
  if (!folder) return;
  const auto tokenizer = model::tokenizer_from_json(
      (*folder / "hf/tokenizer.json").string(), (*folder / "hf/tokenizer_config.json").string());
  for (const auto& vector :
       nlohmann::json::parse(read_file(*folder / "golden/tokenizer_vectors.json"))) {
    const auto text = vector.at("text").get<std::string>();
    INFO("text \"" << text << "\"");
    const auto encoding = tokenizer->encode(text);
    CHECK(encoding.ids == vector.at("ids").get<std::vector<int64_t>>());
    CHECK(tokenizer->decode(encoding.ids) == text);
  }
}

TEST_CASE("spans of a whole novel lead back to its text", "[model]") {
  const auto novel = shared_data("text/Doyle_Hound_1902.txt");
  const auto tokenizer_path = shared_data("tokenizers/qwen2.5/tokenizer.json");
  if (!novel || !tokenizer_path) return;
  const std::string text = read_file(*novel);
  const auto tokenizer = model::tokenizer_from_json(tokenizer_path->string());
  const auto encoding = tokenizer->encode(text);
  int64_t end = 0;
  size_t outside = 0;
  for (const auto& span : encoding.offsets) {
    if (span.begin > end || span.end < end) ++outside;
    end = span.end;
  }
  REQUIRE(outside == 0);
  REQUIRE(end == static_cast<int64_t>(text.size()));
  REQUIRE(tokenizer->decode(encoding.ids) == text);
}

}  // namespace headscope::testing
