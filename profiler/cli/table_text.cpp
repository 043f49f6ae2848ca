#include "profiler/cli/table_text.h"

#include <cstdio>

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

}  // namespace headscope::cli
