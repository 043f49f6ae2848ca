#include "profiler/task_files/json_lines.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "outputs/input_error.h"

namespace headscope::profiler {

void for_each_json_line(const std::string& text,
                        const std::string& name,
                        const std::function<void(const outputs::JsonField&, int64_t)>& take) {
  int64_t number = 0;
  bool any = false;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = name + ", line " + std::to_string(number);
    const nlohmann::json parsed = outputs::parse_json(line, where);
    if (!parsed.is_object()) throw InputError(where, "a JSON object", parsed.type_name());
    take(outputs::JsonField(parsed, where), number);
    any = true;
  }
  if (!any) throw InputError(name, "a JSON object a line", "no line with anything on it");
}

std::string text_or(const outputs::JsonField& record,
                    const std::string& key,
                    const std::string& fallback) {
  return record.has(key) && !record.at(key).is_null() ? record.at(key).text() : fallback;
}

std::vector<std::string> texts_of(const outputs::JsonField& field) {
  if (field.is_text()) return {field.text()};
  std::vector<std::string> texts;
  for (const outputs::JsonField& item : field.items()) texts.push_back(item.text());
  if (texts.empty()) throw InputError(field.where(), "at least one text", "none");
  return texts;
}

}  // namespace headscope::profiler
