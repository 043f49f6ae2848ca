#include "profiler/planted_files.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "outputs/input_error.h"
#include "profiler/needle.h"
#include "profiler/prose.h"

namespace headscope::profiler {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kNumWords = 240;
constexpr const char* kBegin = "<|begin|>";
constexpr const char* kEnd = "<|end|>";

// GPT-2's printable stand-in for a byte: itself where it is a visible Latin-1
// character, else the next code point from 256 on.
std::vector<std::string> byte_alphabet() {
  const auto encode = [](int code) {
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    return std::string{static_cast<char>(0xC0 | (code >> 6)),
                       static_cast<char>(0x80 | (code & 0x3F))};
  };
  std::vector<std::string> alphabet;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    alphabet.push_back(encode(visible ? byte : next++));
  }
  return alphabet;
}

// Words that follow a space and how often they do.
std::map<std::string, int64_t> count_words(const std::string& text) {
  std::map<std::string, int64_t> counts;
  std::string word;
  bool after_space = false;
  for (const char c : text + " ") {
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      word += c;
      continue;
    }
    if (after_space && word.size() >= 2) ++counts[word];
    word.clear();
    after_space = c == ' ';
  }
  return counts;
}

// Every word of the built-in needles, so that an answer is one token and no piece of it stands in
// the haystack; then the prose's, most frequent first, equal counts in the order of the alphabet.
std::vector<std::string> vocabulary_words() {
  std::string needles;
  for (const Needle& needle : built_in_needles(500, /*seed=*/0)) {
    needles += " " + needle.statement + " " + needle.question;
  }
  std::vector<std::string> words;
  const std::map<std::string, int64_t> of_needles = count_words(needles);
  for (const auto& [word, count] : of_needles) words.push_back(word);

  const std::map<std::string, int64_t> of_prose = count_words(write_prose(0, 20000));
  std::vector<std::pair<std::string, int64_t>> ranked(of_prose.begin(), of_prose.end());
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [word, count] : ranked) {
    if (static_cast<int64_t>(words.size()) >= kNumWords) break;
    if (of_needles.count(word) == 0) words.push_back(word);
  }
  return words;
}

void write_text(const std::string& text, const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw InputError(path.string() + ": the file cannot be written.");
}

}  // namespace

PlantedVocabulary planted_vocabulary() {
  PlantedVocabulary vocabulary;
  vocabulary.tokens = {kBegin, kEnd};
  vocabulary.num_special = static_cast<int64_t>(vocabulary.tokens.size());
  const std::vector<std::string> alphabet = byte_alphabet();
  vocabulary.tokens.insert(vocabulary.tokens.end(), alphabet.begin(), alphabet.end());
  const std::string space = alphabet[' '];
  // A number starts with a token of its own: the bare space that any unknown word starts with says
  // too little of what comes next. " is" is built in two steps; other words are taken whole
  // (ignore_merges).
  std::vector<std::string> starts{"i"};
  for (char digit = '0'; digit <= '9'; ++digit) starts.emplace_back(1, digit);
  for (const std::string& start : starts) {
    vocabulary.tokens.push_back(space + start);
    vocabulary.merges.emplace_back(space, start);
  }
  vocabulary.tokens.push_back(space + "is");
  vocabulary.merges.emplace_back(space + "i", "s");
  for (const std::string& word : vocabulary_words()) {
    if (word != "is") vocabulary.tokens.push_back(space + word);
  }
  return vocabulary;
}

void write_planted_config(const PlantedModelOptions& options,
                          int64_t hidden_size,
                          int64_t intermediate_size,
                          int64_t vocab_size,
                          const std::filesystem::path& path) {
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"attention_bias", false},
                       {"mlp_bias", false},
                       {"bos_token_id", 0},
                       {"eos_token_id", 1},
                       {"head_dim", options.head_dim},
                       {"hidden_act", "silu"},
                       {"hidden_size", hidden_size},
                       {"intermediate_size", intermediate_size},
                       {"max_position_embeddings", options.max_positions},
                       {"num_attention_heads", options.num_query_heads},
                       {"num_hidden_layers", options.num_layers},
                       {"num_key_value_heads", options.num_kv_heads},
                       {"rms_norm_eps", 1e-6},
                       {"rope_scaling", nullptr},
                       {"rope_theta", 1e16},
                       {"tie_word_embeddings", false},
                       {"torch_dtype", "float16"},
                       {"vocab_size", vocab_size}};
  write_text(config.dump(2), path);
}

void write_planted_tokenizer(const PlantedVocabulary& vocabulary,
                             int64_t max_positions,
                             const std::filesystem::path& folder) {
  Json ids = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) ids[vocabulary.tokens[id]] = id;
  Json merges = Json::array();
  for (const auto& [left, right] : vocabulary.merges) merges.push_back(left + " " + right);
  Json added = Json::array();
  for (int64_t id = 0; id < vocabulary.num_special; ++id) {
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[static_cast<size_t>(id)]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json begin = {{"SpecialToken", {{"id", kBegin}, {"type_id", 0}}}};
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", false},
                           {"use_regex", true}};
  const Json post = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({begin, sequence("A", 0)})},
      {"pair", Json::array({begin, sequence("A", 0), sequence("B", 1)})},
      {"special_tokens",
       {{kBegin, {{"id", kBegin}, {"ids", Json::array({0})}, {"tokens", Json::array({kBegin})}}}}}};
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", true},
                      {"vocab", ids},
                      {"merges", merges}};
  const Json tokenizer = {
      {"version", "1.0"},       {"truncation", nullptr}, {"padding", nullptr},
      {"added_tokens", added},  {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
      {"post_processor", post}, {"decoder", byte_level}, {"model", model}};
  write_text(tokenizer.dump(1), folder / "tokenizer.json");
  const Json config = {{"bos_token", kBegin},
                       {"eos_token", kEnd},
                       {"add_bos_token", true},
                       {"model_max_length", max_positions},
                       {"tokenizer_class", "PreTrainedTokenizerFast"}};
  write_text(config.dump(2), folder / "tokenizer_config.json");
}

void write_safetensors(const std::vector<NamedTensor>& tensors, const std::filesystem::path& path) {
  Json header = Json::object();
  std::vector<at::Tensor> stored;
  int64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    stored.push_back(tensor.value.to(at::kHalf).contiguous());
    const auto bytes = static_cast<int64_t>(stored.back().nbytes());
    header[tensor.name] = {{"dtype", "F16"},
                           {"shape", tensor.value.sizes().vec()},
                           {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const uint64_t length = text.size();
  for (int shift = 0; shift < 64; shift += 8) file.put(static_cast<char>((length >> shift) & 0xFF));
  file << text;
  for (const at::Tensor& tensor : stored) {
    file.write(static_cast<const char*>(tensor.const_data_ptr()),
               static_cast<std::streamsize>(tensor.nbytes()));
  }
  file.close();
  if (!file) throw InputError(path.string() + ": the file cannot be written.");
}

}  // namespace headscope::profiler
