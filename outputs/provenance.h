// How a file came to be: enough to make it again.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace headscope {

struct Provenance {
  std::string tool_version;                    // "headscope 0.1.0"
  std::string command;                         // the command line
  std::map<std::string, std::string> options;  // every option that bears on the result
  uint64_t seed = 0;
  std::string device;    // "cpu", "cuda:0 NVIDIA H200"
  std::string dtype;     // "float32"
  std::string started;   // ISO 8601, UTC
  double seconds = 0.0;  // wall time of the run
};

// tool_version, command line and start time filled in; the caller adds the rest.
[[nodiscard]] Provenance begin_provenance(const std::string& command);

}  // namespace headscope
