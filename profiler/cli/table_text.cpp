#include "profiler/cli/table_text.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <utility>

namespace headscope::cli {

std::string fixed(double value, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string percent(double share) {
  return fixed(100.0 * share, share < 0.0995 ? 1 : 0) + " %";
}

std::string markdown_line(const std::vector<std::string>& fields) {
  std::string line = "|";
  for (const std::string& field : fields) line += " " + field + " |";
  return line + "\n";
}

std::string markdown_head(const std::vector<std::string>& fields) {
  std::string rule = "|";
  for (size_t i = 0; i < fields.size(); ++i) rule += i == 0 ? "---|" : "---:|";
  return markdown_line(fields) + rule + "\n";
}

std::string size_table(const std::string& corner,
                       const std::vector<SizeCell>& cells,
                       const std::string& missing) {
  std::map<double, std::string, std::greater<>> columns;
  std::vector<std::string> methods;
  std::map<std::pair<std::string, double>, std::string> texts;
  for (const SizeCell& cell : cells) {
    columns.emplace(cell.size, cell.column);
    if (std::find(methods.begin(), methods.end(), cell.method) == methods.end()) {
      methods.push_back(cell.method);
    }
    texts[{cell.method, cell.size}] = cell.text;
  }
  std::vector<std::string> head{corner};
  for (const auto& [size, name] : columns) head.push_back(name);
  std::string text = markdown_head(head);
  for (const std::string& method : methods) {
    std::vector<std::string> line{method};
    for (const auto& [size, name] : columns) {
      const auto found = texts.find({method, size});
      line.push_back(found == texts.end() ? missing : found->second);
    }
    text += markdown_line(line);
  }
  return text;
}

}  // namespace headscope::cli
