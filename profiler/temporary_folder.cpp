#include "profiler/temporary_folder.h"

#include <stdlib.h>

#include <string>
#include <system_error>

#include "outputs/input_error.h"

namespace headscope::profiler {

TemporaryFolder::TemporaryFolder() {
  std::error_code problem;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(problem);
  std::string name = (parent / "headscope-XXXXXX").string();
  if (problem || mkdtemp(name.data()) == nullptr) {
    throw InputError("temporary folder " + parent.string(), "a folder that can be written to",
                     "none", "Set TMPDIR to one.");
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace headscope::profiler
