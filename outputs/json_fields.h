// Reading JSON so that every complaint names the file and the field, and writing it so that people
// can read it. The one JSON vocabulary of outputs/.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace headscope::outputs {

// The whole text as one value. Throws InputError for a syntax error (with its byte), trailing
// bytes, invalid UTF-8, or a key given twice in one object.
[[nodiscard]] nlohmann::json parse_json(const std::string& text, const std::string& where);

// Objects one key per line, arrays of scalars on one line, arrays of arrays a row per line; ends in
// a newline. Text that is no UTF-8 is repaired. NaN becomes null.
[[nodiscard]] std::string to_readable_json(const nlohmann::ordered_json& value);

// A value and where it stands. Each accessor throws InputError when the value is of another type.
// Refers to the parsed value, which must outlive it.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, std::string where)
      : value_(&value), where_(std::move(where)) {}

  [[nodiscard]] bool is_null() const;
  [[nodiscard]] bool is_text() const;
  [[nodiscard]] bool has(const std::string& key) const;                          // of an object
  [[nodiscard]] JsonField at(const std::string& key) const;                      // must be there
  [[nodiscard]] std::vector<std::pair<std::string, JsonField>> members() const;  // of an object
  [[nodiscard]] std::vector<JsonField> items() const;                            // of an array
  [[nodiscard]] int64_t integer(int64_t min = std::numeric_limits<int64_t>::min(),
                                int64_t max = std::numeric_limits<int64_t>::max()) const;
  [[nodiscard]] uint64_t unsigned_integer() const;
  [[nodiscard]] double number() const;          // finite
  [[nodiscard]] double number_or_null() const;  // null = NaN
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::vector<int64_t> integers() const;
  [[nodiscard]] const std::string& where() const { return where_; }
  // What stands here, for messages: "a string", "an array of 3", …
  [[nodiscard]] std::string describe() const;

 private:
  const nlohmann::json* value_;
  std::string where_;
};

}  // namespace headscope::outputs
