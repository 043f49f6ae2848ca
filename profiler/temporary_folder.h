// A fresh folder in the system's place for temporary files, gone with the object.
#pragma once

#include <filesystem>

namespace headscope::profiler {

class TemporaryFolder {
 public:
  // InputError where it cannot be made (TMPDIR names a place that is not writable).
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace headscope::profiler
