#include "outputs/json_records.h"

#include <nlohmann/json.hpp>

#include "outputs/file_header.h"

namespace headscope::outputs {
namespace {

using nlohmann::ordered_json;

int64_t integer_or_zero(const JsonField& object, const std::string& key) {
  return object.has(key) ? object.at(key).integer(0) : 0;
}

std::string text_or_empty(const JsonField& object, const std::string& key) {
  return object.has(key) ? object.at(key).text() : "";
}

}  // namespace

ordered_json model_to_json(const ModelIdentity& model) {
  const ModelShape& shape = model.shape;
  return ordered_json{{"name", model.name},
                      {"fingerprint", model.fingerprint},
                      {"architecture", shape.architecture},
                      {"num_layers", shape.num_layers},
                      {"num_query_heads", shape.num_query_heads},
                      {"num_kv_heads", shape.num_kv_heads},
                      {"head_dim", shape.head_dim},
                      {"hidden_size", shape.hidden_size},
                      {"vocab_size", shape.vocab_size},
                      {"max_positions", shape.max_positions},
                      {"attention_window", shape.attention_window}};
}

ordered_json provenance_to_json(const Provenance& provenance) {
  ordered_json options = ordered_json::object();
  for (const auto& [name, value] : provenance.options) options[name] = value;
  return ordered_json{{"tool_version", provenance.tool_version},
                      {"command", provenance.command},
                      {"options", options},
                      {"seed", provenance.seed},
                      {"device", provenance.device},
                      {"dtype", provenance.dtype},
                      {"started", provenance.started},
                      {"seconds", provenance.seconds}};
}

ModelIdentity model_from_json(const JsonField& field) {
  ModelIdentity model;
  ModelShape& shape = model.shape;
  model.name = text_or_empty(field, "name");
  model.fingerprint = field.at("fingerprint").text();
  shape.architecture = text_or_empty(field, "architecture");
  shape.num_layers = field.at("num_layers").integer();
  shape.num_query_heads = field.at("num_query_heads").integer();
  shape.num_kv_heads = field.at("num_kv_heads").integer();
  shape.head_dim = field.at("head_dim").integer();
  shape.hidden_size = integer_or_zero(field, "hidden_size");
  shape.vocab_size = integer_or_zero(field, "vocab_size");
  shape.max_positions = integer_or_zero(field, "max_positions");
  if (field.has("attention_window")) {
    for (const JsonField& window : field.at("attention_window").items()) {
      shape.attention_window.push_back(window.integer(0));
    }
  }
  check_shape(shape, field.where());
  return model;
}

Provenance provenance_from_json(const JsonField& field) {
  Provenance provenance;
  provenance.tool_version = text_or_empty(field, "tool_version");
  provenance.command = text_or_empty(field, "command");
  if (field.has("options")) {
    for (const auto& [name, value] : field.at("options").members()) {
      provenance.options[name] = value.text();
    }
  }
  if (field.has("seed")) provenance.seed = field.at("seed").unsigned_integer();
  provenance.device = text_or_empty(field, "device");
  provenance.dtype = text_or_empty(field, "dtype");
  provenance.started = text_or_empty(field, "started");
  if (field.has("seconds")) provenance.seconds = field.at("seconds").number_or_null();
  return provenance;
}

void check_json_header(const JsonField& root, const std::string& expected_format) {
  check_file_header(root.where(), root.at("format").text(), root.at("format_version").text(),
                    expected_format);
}

}  // namespace headscope::outputs
