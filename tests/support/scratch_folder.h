// A folder of one test's own: tests run side by side, so no two may share a name.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "profiler/temporary_folder.h"

namespace headscope::testing {

// Empty at first; removed with everything in it at the end.
class ScratchFolder {
 public:
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return path() / name;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return (*this / name).string(); }

  // The written file's path.
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(*this / name, std::ios::binary) << text;
    return file(name);
  }

  // Of everything in it, hidden names included; sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

 private:
  profiler::TemporaryFolder folder_;
};

}  // namespace headscope::testing
