#include "profiler/needle_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "outputs/input_error.h"
#include "profiler/needle.h"

namespace headscope::profiler {
namespace {

std::string trimmed(const std::string& text) {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  return begin == std::string::npos
             ? ""
             : text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

// Trimmed text of a field; `fallback` where it is absent or null.
std::string optional_field(const nlohmann::json& record,
                           const std::string& key,
                           const std::string& fallback,
                           const std::string& where) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) {
    return fallback;
  }
  if (!found->is_string()) {
    throw InputError(where, "text in the field `" + key + "`", found->type_name());
  }
  return trimmed(found->get<std::string>());
}

std::string required_field(const nlohmann::json& record,
                           const std::string& key,
                           const std::string& where) {
  const std::string text = optional_field(record, key, "", where);
  if (text.empty()) {
    throw InputError(where, "a field `" + key + "` with text", "none");
  }
  return text;
}

nlohmann::json parse_record(std::string_view line, const std::string& where) {
  try {
    nlohmann::json record = nlohmann::json::parse(line);
    if (record.is_object()) {
      return record;
    }
    throw InputError(where, "a JSON object", record.type_name());
  } catch (const nlohmann::json::parse_error& error) {
    throw InputError(where, "a JSON object in UTF-8",
                     "a syntax error at byte " + std::to_string(error.byte) + " of the line");
  }
}

Needle needle_of(const nlohmann::json& record, int64_t line_number, const std::string& where) {
  Needle needle;
  needle.statement = required_field(record, "needle", where);
  needle.question = required_field(record, "question", where);
  needle.real_needle = required_field(record, "real_needle", where);
  needle.answer_prefix = optional_field(record, "answer_prefix", "", where);
  needle.answer = optional_field(record, "answer", needle.real_needle, where);
  needle.family = optional_field(record, "family", "needle", where);
  needle.id = optional_field(record, "id", "line-" + std::to_string(line_number), where);
  if (needle.answer.empty() || needle.family.empty() || needle.id.empty()) {
    throw InputError(where, "text in `answer`, `family` and `id` where they are given", "none");
  }
  if (find_answer(needle.statement, needle.real_needle) < 0) {
    throw InputError(where, "a `real_needle` that stands in its `needle`",
                     "\"" + needle.real_needle + "\"",
                     "What counts as right but stands there in other words goes into `answer`.");
  }
  return needle;
}

}  // namespace

std::vector<Needle> parse_needles(const std::string& text, const std::string& name) {
  std::vector<Needle> needles;
  std::set<std::string> ids;
  int64_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (trimmed(line).empty()) {
      continue;
    }
    const std::string where = name + ", line " + std::to_string(line_number);
    needles.push_back(needle_of(parse_record(line, where), line_number, where));
    if (!ids.insert(needles.back().id).second) {
      throw InputError(where, "an `id` of its own", "\"" + needles.back().id + "\" once more");
    }
  }
  if (needles.empty()) {
    throw InputError(name, "at least one needle, one JSON object a line", "none");
  }
  return needles;
}

std::vector<Needle> read_needle_file(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    throw InputError(path, "a needle file", "a folder");
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    throw InputError(path, "a readable needle file", "none");
  }
  return parse_needles(text, path);
}

}  // namespace headscope::profiler
