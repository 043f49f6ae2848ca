#include "model/json_fields.h"

#include <fstream>
#include <iterator>
#include <limits>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using nlohmann::json;

// A value for a message: short, whatever the file holds.
std::string shown(const json& value) {
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

}  // namespace

json JsonFields::read_object(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw InputError(path, "a readable file", "none");
  const std::string text((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  return parse_object(text, path);
}

json JsonFields::parse_object(const std::string& text, const std::string& where) {
  try {
    json object = json::parse(text);
    if (!object.is_object()) throw InputError(where, "a JSON object", object.type_name());
    return object;
  } catch (const json::exception& error) {
    throw InputError(where, "a JSON object", std::string("invalid JSON (") + error.what() + ")");
  }
}

const json* JsonFields::find(const char* field) const {
  const auto found = object_.find(field);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::refuse(const char* field, const char* expected) const {
  const json* value = find(field);
  throw InputError(where_ + ", " + field, expected, value == nullptr ? "nothing" : shown(*value));
}

std::optional<int64_t> JsonFields::find_int(const char* field) const {
  const json* value = find(field);
  if (value == nullptr) return std::nullopt;
  // A float that is whole (2048.0) is accepted: some tools write every number so.
  if (value->is_number_float()) {
    const double number = value->get<double>();
    const auto whole = std::abs(number) < 1e15 ? static_cast<int64_t>(number) : 0;
    if (static_cast<double>(whole) != number) refuse(field, "a whole number");
    return whole;
  }
  if (!value->is_number_integer()) refuse(field, "a whole number");
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    refuse(field, "a whole number of at most 63 bits");
  }
  return value->get<int64_t>();
}

std::optional<double> JsonFields::find_double(const char* field) const {
  const json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) refuse(field, "a number");
  return value->get<double>();
}

std::optional<bool> JsonFields::find_bool(const char* field) const {
  const json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) refuse(field, "true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonFields::find_string(const char* field) const {
  const json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse(field, "a string");
  return value->get<std::string>();
}

int64_t JsonFields::require_int(const char* field) const {
  const std::optional<int64_t> value = find_int(field);
  if (!value) refuse(field, "a whole number");
  return *value;
}

double JsonFields::require_double(const char* field) const {
  const std::optional<double> value = find_double(field);
  if (!value) refuse(field, "a number");
  return *value;
}

}  // namespace headscope::model
