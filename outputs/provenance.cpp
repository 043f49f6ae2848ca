#include "outputs/provenance.h"

#include <chrono>
#include <ctime>

namespace headscope {

Provenance begin_provenance(const std::string& command) {
  Provenance provenance;
  provenance.tool_version = "headscope " HEADSCOPE_VERSION;
  provenance.command = command;
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  provenance.started = text;
  return provenance;
}

}  // namespace headscope
