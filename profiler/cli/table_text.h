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

}  // namespace headscope::cli
