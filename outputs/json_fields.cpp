#include "outputs/json_fields.h"

#include <nlohmann/json.hpp>
#include <set>

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

bool is_row(const ordered_json& value) {
  if (!value.is_array()) return false;
  for (const ordered_json& item : value) {
    if (item.is_structured()) return false;
  }
  return true;
}

template <typename Json>
std::string on_one_line(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void append_row(const ordered_json& row, std::string& out) {
  out += '[';
  bool first = true;
  for (const ordered_json& item : row) {
    if (!first) out += ", ";
    first = false;
    out += on_one_line(item);
  }
  out += ']';
}

void append_readable(const ordered_json& value, size_t indent, std::string& out) {
  if (!value.is_structured() || value.empty()) {
    out += on_one_line(value);
    return;
  }
  if (is_row(value)) {
    append_row(value, out);
    return;
  }
  const std::string margin(indent + 2, ' ');
  out += value.is_object() ? "{" : "[";
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    out += first ? "\n" : ",\n";
    first = false;
    out += margin;
    if (value.is_object()) out += on_one_line(json(key)) + ": ";
    append_readable(item, indent + 2, out);
  }
  out += "\n" + std::string(indent, ' ') + (value.is_object() ? "}" : "]");
}

// "[json.exception.parse_error.101] parse error at line 1, column 3: …" without its first word.
std::string reason(const json::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace

json parse_json(const std::string& text, const std::string& where) {
  // The parser takes a zero byte for the end of the text.
  if (text.find('\0') != std::string::npos) throw InputError(where, "JSON", "a zero byte");
  std::vector<std::set<std::string>> open_objects;
  const auto watch_keys = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      open_objects.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open_objects.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) {
        throw InputError(where, "each key once", "'" + key + "' twice in one object");
      }
    }
    return true;
  };
  try {
    return json::parse(text, watch_keys);
  } catch (const json::exception& error) {
    throw InputError(where, "one JSON value", reason(error));
  }
}

std::string to_readable_json(const ordered_json& value) {
  std::string out;
  append_readable(value, 0, out);
  return out + "\n";
}

std::string JsonField::describe() const {
  switch (value_->type()) {
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array of " + std::to_string(value_->size());
    case json::value_t::string: {
      const auto& text = value_->get_ref<const std::string&>();
      return text.size() > 40 ? "a string of " + std::to_string(text.size()) + " bytes"
                              : "\"" + text + "\"";
    }
    default:
      return on_one_line(*value_);
  }
}

bool JsonField::is_null() const {
  return value_->is_null();
}

bool JsonField::is_text() const {
  return value_->is_string();
}

bool JsonField::has(const std::string& key) const {
  return value_->is_object() && value_->contains(key);
}

JsonField JsonField::at(const std::string& key) const {
  if (!value_->is_object()) throw InputError(where_, "an object", describe());
  const auto found = value_->find(key);
  if (found == value_->end()) throw InputError(where_, "a field '" + key + "'", "none");
  return {*found, where_ + ": " + key};
}

std::vector<std::pair<std::string, JsonField>> JsonField::members() const {
  if (!value_->is_object()) throw InputError(where_, "an object", describe());
  std::vector<std::pair<std::string, JsonField>> all;
  for (const auto& [key, value] : value_->items()) {
    all.emplace_back(key, JsonField(value, where_ + ": " + key));
  }
  return all;
}

std::vector<JsonField> JsonField::items() const {
  if (!value_->is_array()) throw InputError(where_, "an array", describe());
  std::vector<JsonField> all;
  all.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    all.emplace_back((*value_)[i], where_ + "[" + std::to_string(i) + "]");
  }
  return all;
}

int64_t JsonField::integer(int64_t min, int64_t max) const {
  const bool fits = value_->is_number_integer() &&
                    (!value_->is_number_unsigned() ||
                     value_->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  if (!fits) throw InputError(where_, "a whole number", describe());
  const auto number = value_->get<int64_t>();
  if (number < min || number > max) {
    const std::string upper =
        max == std::numeric_limits<int64_t>::max() ? "" : " and <= " + std::to_string(max);
    throw InputError(where_, "a whole number >= " + std::to_string(min) + upper, describe());
  }
  return number;
}

uint64_t JsonField::unsigned_integer() const {
  if (!value_->is_number_unsigned()) throw InputError(where_, "a whole number >= 0", describe());
  return value_->get<uint64_t>();
}

double JsonField::number() const {
  if (!value_->is_number()) throw InputError(where_, "a number", describe());
  return value_->get<double>();
}

double JsonField::number_or_null() const {
  return value_->is_null() ? std::numeric_limits<double>::quiet_NaN() : number();
}

std::string JsonField::text() const {
  if (!value_->is_string()) throw InputError(where_, "a string", describe());
  return value_->get<std::string>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) throw InputError(where_, "true or false", describe());
  return value_->get<bool>();
}

std::vector<int64_t> JsonField::integers() const {
  std::vector<int64_t> numbers;
  for (const JsonField& item : items()) numbers.push_back(item.integer());
  return numbers;
}

}  // namespace headscope::outputs
