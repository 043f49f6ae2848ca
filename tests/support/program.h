// Runs the program as a user would: exit code, stdout and stderr.
#pragma once

#include <string>
#include <vector>

namespace headscope::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// `arguments` reach the program as they are: no shell words, no globbing. `before` is shell text
// put in front of the program ("ulimit -f 1;", "cd /tmp;").
[[nodiscard]] ProgramResult run_headscope(const std::vector<std::string>& arguments,
                                          const std::string& before = "");

void write_text(const std::string& path, const std::string& text);
[[nodiscard]] std::string read_text(const std::string& path);

}  // namespace headscope::testing
