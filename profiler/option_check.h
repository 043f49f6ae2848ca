// Range checks of option structs, and their fields as text for a file's
// provenance.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "outputs/input_error.h"

namespace headscope::profiler {

inline void check_range(const std::string& option, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    throw InputError(option, std::to_string(low) + " to " + std::to_string(high),
                     std::to_string(value));
  }
}

// "a,b,c"; numbers with the fewest digits that say them apart.
template <typename T>
[[nodiscard]] std::string join_values(const std::vector<T>& values) {
  std::ostringstream text;
  text.precision(12);
  for (size_t i = 0; i < values.size(); ++i) text << (i > 0 ? "," : "") << values[i];
  return text.str();
}

}  // namespace headscope::profiler
