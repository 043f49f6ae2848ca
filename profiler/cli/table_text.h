// Fields and lines of the tables that commands print.
#pragma once

#include <string>
#include <vector>

namespace headscope::cli {

// With so many digits behind the point.
[[nodiscard]] std::string fixed(double value, int digits);

// A share as "25 %", small ones with a digit behind the point.
[[nodiscard]] std::string percent(double share);

// "| a | b |" and a line end.
[[nodiscard]] std::string markdown_line(const std::vector<std::string>& fields);

// The head of a table and the rule below it: the first column to the left, the others to the right.
[[nodiscard]] std::string markdown_head(const std::vector<std::string>& fields);

struct SizeCell {
  std::string method;
  double size;         // what the columns are ordered by, the largest first
  std::string column;  // its name
  std::string text;
};

// Methods down in the order met, sizes across; `missing` where a method has no cell.
[[nodiscard]] std::string size_table(const std::string& corner,
                                     const std::vector<SizeCell>& cells,
                                     const std::string& missing);

}  // namespace headscope::cli
