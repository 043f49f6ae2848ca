// Runs one of the scripts beside this file in a Python process of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace headscope::benchmarks {

// SCRIPT JOB.json RESULT.json by `python`; the result. std::runtime_error where it fails.
[[nodiscard]] nlohmann::json run_python(const std::string& python,
                                        const std::string& script,
                                        const nlohmann::json& job);

}  // namespace headscope::benchmarks
