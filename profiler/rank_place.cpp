#include "profiler/rank_place.h"

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <string_view>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

constexpr const char* kAdvice =
    "Start the ranks with torchrun --no-python, or unset WORLD_SIZE and RANK for one process.";

bool is_set(const Variables& variables, const char* name) {
  const char* value = variables(name);
  return value != nullptr && *value != '\0';
}

// `absent` where it is not set.
int number_of(const Variables& variables, const char* name, int low, int high, int absent) {
  if (!is_set(variables, name)) return absent;
  const std::string_view text = variables(name);
  int number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number < low || number > high) {
    throw InputError(std::string("environment variable ") + name,
                     "a number from " + std::to_string(low) + " to " + std::to_string(high),
                     "\"" + std::string(text) + "\"", kAdvice);
  }
  return number;
}

void check_all_set(const Variables& variables, std::initializer_list<const char*> names) {
  std::string wanted, missing;
  for (const char* name : names) {
    wanted += (wanted.empty() ? "" : ", ") + std::string(name);
    if (!is_set(variables, name)) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  if (missing.empty()) return;
  throw InputError("environment of a run over several processes", "all of " + wanted,
                   "no " + missing, kAdvice);
}

}  // namespace

RankPlace rank_place(const Variables& variables) {
  constexpr int kMost = std::numeric_limits<int>::max();
  RankPlace place;
  place.restarted = number_of(variables, "TORCHELASTIC_RESTART_COUNT", 0, kMost, 0) > 0;
  if (!is_set(variables, "WORLD_SIZE") && !is_set(variables, "RANK")) return place;
  if (is_set(variables, "WORLD_SIZE")) {
    place.size = number_of(variables, "WORLD_SIZE", 1, kMost, 1);
    if (place.size == 1 && !is_set(variables, "RANK")) return place;
  }
  check_all_set(variables, {"WORLD_SIZE", "RANK"});
  place.rank = number_of(variables, "RANK", 0, place.size - 1, 0);
  if (place.size == 1) return place;
  check_all_set(variables, {"WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"});
  place.local_rank = number_of(variables, "LOCAL_RANK", 0, kMost, 0);
  place.host = variables("MASTER_ADDR");
  place.port = static_cast<uint16_t>(number_of(variables, "MASTER_PORT", 1, 65535, 0));
  place.launcher_hosts = is_set(variables, "TORCHELASTIC_USE_AGENT_STORE") &&
                         std::string_view(variables("TORCHELASTIC_USE_AGENT_STORE")) == "True";
  if (is_set(variables, "TORCHELASTIC_RUN_ID")) place.run_id = variables("TORCHELASTIC_RUN_ID");
  return place;
}

RankPlace rank_place() {
  return rank_place([](const char* name) { return std::getenv(name); });
}

}  // namespace headscope::profiler
