#include "model/checkpoint_text.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "model/json_fields.h"
#include "model/tokenizer_gguf.h"
#include "model/tokenizer_json.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string path_if_present(const std::string& directory, const char* name) {
  const fs::path path = fs::path(directory) / name;
  return fs::exists(path) ? path.string() : "";
}

// "<s>", or {"content": "<s>", …}.
std::string token_text(const json& config, const char* field) {
  const auto found = config.find(field);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object()) return "";
  const auto content = found->find("content");
  return content != found->end() && content->is_string() ? content->get<std::string>() : "";
}

std::string template_text(const json& config, const std::string& where) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) {
    throw InputError(where + ", chat_template", "a string or a list of named templates",
                     found->type_name());
  }
  for (const json& entry : *found) {
    if (entry.is_object() && entry.value("name", json()) == "default" &&
        entry.value("template", json()).is_string()) {
      return entry.at("template").get<std::string>();
    }
  }
  return "";
}

template <typename T>
std::vector<T> narrowed(const GgufFile& file, const std::string& key) {
  const auto found = file.keys().find(key);
  std::vector<T> values;
  if (found == file.keys().end()) return values;
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&found->second)) {
    for (const int64_t value : *ints) values.push_back(static_cast<T>(value));
  } else if (const auto* doubles = std::get_if<std::vector<double>>(&found->second)) {
    for (const double value : *doubles) values.push_back(static_cast<T>(value));
  } else {
    throw InputError(file.file().path() + ", key \"" + key + "\"", "an array of numbers",
                     "another type");
  }
  return values;
}

std::string gguf_token(const GgufFile& file, const char* id_key) {
  const std::optional<int64_t> id = file.find_int(id_key);
  const auto found = file.keys().find("tokenizer.ggml.tokens");
  if (!id || found == file.keys().end()) return "";
  const auto* tokens = std::get_if<std::vector<std::string_view>>(&found->second);
  if (tokens == nullptr || *id < 0 || *id >= static_cast<int64_t>(tokens->size())) return "";
  return std::string((*tokens)[static_cast<size_t>(*id)]);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer_in(const std::string& directory) {
  const std::string path = path_if_present(directory, "tokenizer.json");
  if (path.empty()) {
    const bool is_slow = !path_if_present(directory, "tokenizer.model").empty();
    throw InputError(directory, "tokenizer.json", is_slow ? "only tokenizer.model" : "none",
                     is_slow ? "Save the tokenizer with transformers to get one." : "");
  }
  return tokenizer_from_json(path, path_if_present(directory, "tokenizer_config.json"));
}

ChatTemplate read_chat_template_in(const std::string& directory) {
  const std::string path = path_if_present(directory, "tokenizer_config.json");
  const json config = path.empty() ? json::object() : JsonFields::read_object(path);
  std::string text = template_text(config, path);
  const std::string jinja = path_if_present(directory, "chat_template.jinja");
  if (!jinja.empty()) {
    std::ifstream stream(jinja, std::ios::binary);
    if (!stream) throw InputError(jinja, "a readable file", "none");
    text.assign((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  }
  return recognise_chat_template(text, token_text(config, "bos_token"),
                                 token_text(config, "eos_token"));
}

std::unique_ptr<Tokenizer> open_tokenizer_in(const GgufFile& file) {
  GgufTokenizerData data;
  data.source = file.file().path();
  data.model = file.find_string("tokenizer.ggml.model").value_or("");
  data.pre = file.find_string("tokenizer.ggml.pre").value_or("");
  data.tokens = file.find_strings("tokenizer.ggml.tokens").value_or(std::vector<std::string>());
  data.scores = narrowed<float>(file, "tokenizer.ggml.scores");
  data.token_types = narrowed<int32_t>(file, "tokenizer.ggml.token_type");
  data.merges = file.find_strings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  data.add_bos = file.find_bool("tokenizer.ggml.add_bos_token");
  data.add_eos = file.find_bool("tokenizer.ggml.add_eos_token");
  data.add_space_prefix = file.find_bool("tokenizer.ggml.add_space_prefix");
  data.bos_id = file.find_int("tokenizer.ggml.bos_token_id");
  data.eos_id = file.find_int("tokenizer.ggml.eos_token_id");
  data.unknown_id = file.find_int("tokenizer.ggml.unknown_token_id");
  return tokenizer_from_gguf(data);
}

ChatTemplate read_chat_template_in(const GgufFile& file) {
  return recognise_chat_template(file.find_string("tokenizer.chat_template").value_or(""),
                                 gguf_token(file, "tokenizer.ggml.bos_token_id"),
                                 gguf_token(file, "tokenizer.ggml.eos_token_id"));
}

}  // namespace headscope::model
