#include "model/tokenizer_json.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/pipeline_tokenizer.h"
#include "model/rank_bpe.h"
#include "model/tokenizer_json_steps.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using nlohmann::json;

constexpr const char* kSupported = "Supported are byte-level BPE and SentencePiece-style BPE.";

json read_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path, "a readable tokenizer file", "none");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    throw InputError(path, "a complete JSON file",
                     "something else at byte " + std::to_string(error.byte));
  }
}

int64_t read_id(const JsonEntry& entry) {
  const int64_t id = entry.integer();
  if (id < 0 || id >= Vocabulary::kMaxTokens) entry.refuse("a token id");
  return id;
}

Vocabulary read_vocabulary(const JsonEntry& entry) {
  if (!entry.value->is_object()) entry.refuse("an object of tokens and ids");
  Vocabulary vocabulary;
  vocabulary.reserve(entry.value->size());
  for (const auto& [token, id] : entry.value->items()) {
    if (!id.is_number_integer()) entry.at(token).refuse("a token id");
    const int64_t value = id.get<int64_t>();
    if (value < 0 || value >= Vocabulary::kMaxTokens) entry.at(token).refuse("a token id");
    vocabulary.add(token, value);
  }
  return vocabulary;
}

std::pair<std::string_view, std::string_view> read_merge(const JsonEntry& list, size_t index) {
  const json& merge = (*list.value)[index];
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t blank = text.find(' ');
    if (blank != std::string_view::npos && text.find(' ', blank + 1) == std::string_view::npos) {
      return {text.substr(0, blank), text.substr(blank + 1)};
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  JsonEntry{&merge, list.where + "[" + std::to_string(index) + "]"}.refuse(
      "a merge, \"left right\" or [\"left\", \"right\"]");
}

void read_merges(const JsonEntry& entry, RankBpe& model) {
  if (!entry.value->is_array()) entry.refuse("a list of merges");
  model.reserve_merges(entry.value->size());
  for (size_t i = 0; i < entry.value->size(); ++i) {
    const auto [left, right] = read_merge(entry, i);
    if (!model.add_merge(left, right)) {
      throw InputError(entry.where + "[" + std::to_string(i) + "]",
                       "a merge of two tokens into a third, all in the vocabulary",
                       "\"" + std::string(left) + "\" + \"" + std::string(right) + "\"");
    }
  }
}

void refuse_if_filled(const JsonEntry& model, const std::string& key) {
  if (model.has(key) && !model.at(key).text().empty()) model.at(key).refuse("none");
}

std::unique_ptr<RankBpe> read_model(const JsonEntry& entry) {
  // Files of before models were named have BPE's entries.
  const std::string type = entry.has("type") ? entry.at("type").text() : "BPE";
  if (type != "BPE") {
    throw InputError(entry.where + ".type", "BPE", type, kSupported);
  }
  if (!entry.has("merges")) {
    throw InputError(entry.where, "an entry \"merges\"", "none",
                     std::string("A BPE tokenizer cannot work without. ") + kSupported);
  }
  refuse_if_filled(entry, "continuing_subword_prefix");
  refuse_if_filled(entry, "end_of_word_suffix");
  RankBpeOptions options;
  options.ignore_merges = entry.flag("ignore_merges", false);
  options.byte_fallback = entry.flag("byte_fallback", false);
  options.fuse_unknown = entry.flag("fuse_unk", false);
  Vocabulary vocabulary = read_vocabulary(entry.at("vocab"));
  if (entry.has("unk_token")) {
    options.unknown_id = vocabulary.id_of(entry.at("unk_token").text());
    if (!options.unknown_id) entry.at("unk_token").refuse("a token of the vocabulary");
  }
  auto model = std::make_unique<RankBpe>(std::move(vocabulary), options);
  read_merges(entry.at("merges"), *model);
  return model;
}

std::vector<AddedToken> read_added_tokens(const JsonEntry& entry) {
  std::vector<AddedToken> tokens;
  for (const JsonEntry& item : entry.elements()) {
    AddedToken token;
    token.id = read_id(item.at("id"));
    token.content = item.at("content").text();
    token.special = item.flag("special", false);
    token.lstrip = item.flag("lstrip", false);
    token.rstrip = item.flag("rstrip", false);
    token.single_word = item.flag("single_word", false);
    token.normalized = item.flag("normalized", !token.special);
    if (!token.content.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

// A token of tokenizer_config.json: its text, or an object that has the text as
// "content".
std::optional<std::string> configured_token(const JsonEntry& config, const std::string& key) {
  if (!config.has(key)) return std::nullopt;
  const JsonEntry entry = config.at(key);
  return entry.value->is_object() ? entry.at("content").text() : entry.text();
}

std::optional<int64_t> find_token(const TokenizerParts& parts,
                                  const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  for (const AddedToken& token : parts.added_tokens) {
    if (token.content == *text) return token.id;
  }
  return parts.model->vocabulary().id_of(*text);
}

void read_config(const std::string& path, TokenizerParts& parts) {
  if (path.empty()) {
    if (!parts.post.prefix.empty()) parts.bos_id = parts.post.prefix.front();
    if (!parts.post.suffix.empty()) parts.eos_id = parts.post.suffix.front();
    return;
  }
  const json config_json = read_json(path);
  const JsonEntry config{&config_json, path + ": top"};
  parts.bos_id = find_token(parts, configured_token(config, "bos_token"));
  parts.eos_id = find_token(parts, configured_token(config, "eos_token"));
}

JsonEntry entry_or_null(const JsonEntry& root, const std::string& path, const std::string& key) {
  static const json none;
  return {root.has(key) ? &root.value->at(key) : &none, path + ": " + key};
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const std::string& tokenizer_json_path,
                                               const std::string& tokenizer_config_path) {
  const json file = read_json(tokenizer_json_path);
  const JsonEntry root{&file, tokenizer_json_path + ": top"};
  const auto entry = [&](const char* key) { return entry_or_null(root, tokenizer_json_path, key); };
  if (!root.has("model")) {
    throw InputError(tokenizer_json_path, "an entry \"model\"", "none", kSupported);
  }
  TokenizerParts parts;
  parts.model = read_model(entry("model"));
  if (root.has("added_tokens")) parts.added_tokens = read_added_tokens(entry("added_tokens"));
  parts.normalize = read_normalizer(entry("normalizer"));
  PreTokenizer pre_tokenizer = read_pre_tokenizer(entry("pre_tokenizer"));
  parts.pre_tokenize = std::move(pre_tokenizer.steps);
  parts.post = read_post_processor(entry("post_processor"));
  parts.decode = read_decoder(entry("decoder"));
  parts.kind = pre_tokenizer.byte_level ? "byte-level BPE" : "SentencePiece BPE";
  const JsonEntry model = entry("model");
  const std::string word_start = "▁";
  if (!pre_tokenizer.byte_level && !model.flag("ignore_merges", false) &&
      words_are_independent(parts.model->vocabulary(), word_start)) {
    parts.pre_tokenize.push_back(cut_before_step(word_start));
  }
  read_config(tokenizer_config_path, parts);
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace headscope::model
