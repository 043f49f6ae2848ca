// Finds the public material that some tests compare with. It is not part of the repository: tests
// that need it skip where it is absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

namespace headscope::testing {

// A file or folder below $HEADSCOPE_SHARED, else below ../shared/data beside the repository. Where
// it is absent this prints the line by which CTest counts a skipped test; the test then returns.
inline std::optional<std::filesystem::path> shared_data(const std::string& relative) {
  const char* given = std::getenv("HEADSCOPE_SHARED");
  const std::filesystem::path repository =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const std::filesystem::path root =
      given != nullptr ? std::filesystem::path(given) : repository.parent_path() / "shared/data";
  std::filesystem::path found = root / relative;
  if (!std::filesystem::exists(found)) {
    std::cout << "SKIPPED: no shared data at " << relative << std::endl;
    return std::nullopt;
  }
  return found;
}

}  // namespace headscope::testing
