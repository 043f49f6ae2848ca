// How an eviction method is to work where the user names only the method: what generate, evaluate
// and plan share.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "profiler/method_plan.h"

namespace headscope::cli {

struct MethodSettings {
  std::vector<std::string> quirks;  // "NAME=VALUE"
  std::string index_sets = "own";
  bool published = false;
};

void add_method_settings(CLI::App& app, MethodSettings& settings);

// InputError for an unknown name, or a value that means nothing.
void apply_method_settings(const MethodSettings& settings, profiler::MethodOptions& options);

// What differs from the defaults, for a provenance.
[[nodiscard]] std::map<std::string, std::string> stored_settings(const MethodSettings& settings);

}  // namespace headscope::cli
