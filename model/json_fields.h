// Typed reading of a JSON object's fields: a null counts as absent, a wrong type is an InputError
// that names the file and the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

namespace headscope::model {

class JsonFields {
 public:
  // `object` must be a JSON object and outlive this.
  JsonFields(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  // The file as an object; InputError for unreadable files, invalid JSON, anything but an object.
  [[nodiscard]] static nlohmann::json read_object(const std::string& path);
  [[nodiscard]] static nlohmann::json parse_object(const std::string& text,
                                                   const std::string& where);

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] bool has(const char* field) const { return find(field) != nullptr; }
  // Present at all, be it null: transformers' defaults apply only where a field is absent.
  [[nodiscard]] bool names(const char* field) const { return object_.contains(field); }
  [[nodiscard]] const nlohmann::json* find(const char* field) const;

  [[nodiscard]] std::optional<int64_t> find_int(const char* field) const;
  [[nodiscard]] std::optional<double> find_double(const char* field) const;
  [[nodiscard]] std::optional<bool> find_bool(const char* field) const;
  [[nodiscard]] std::optional<std::string> find_string(const char* field) const;
  [[nodiscard]] int64_t require_int(const char* field) const;
  [[nodiscard]] double require_double(const char* field) const;

 private:
  [[noreturn]] void refuse(const char* field, const char* expected) const;

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace headscope::model
