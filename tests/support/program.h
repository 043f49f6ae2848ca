// Runs the program as a user would: exit code, stdout and stderr.
#pragma once

#include <filesystem>
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

// A folder of this test's own, empty at first, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  // Names of the files in it, sorted.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::filesystem::path folder_;
};

void write_text(const std::string& path, const std::string& text);
[[nodiscard]] std::string read_text(const std::string& path);

}  // namespace headscope::testing
