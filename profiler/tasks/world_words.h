// Words of which generated facts are made. None of them occurs in the built-in prose.
#pragma once

#include <string>
#include <vector>

namespace headscope::profiler {

[[nodiscard]] const std::vector<std::string>& world_professions();
[[nodiscard]] const std::vector<std::string>& world_cities();
[[nodiscard]] const std::vector<std::string>& world_pets();

}  // namespace headscope::profiler
