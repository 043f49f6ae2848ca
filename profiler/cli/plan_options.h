// The options of `plan`, bound to one struct.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "profiler/cli/method_settings.h"
#include "profiler/method_plan.h"

namespace headscope::cli {

// Of every command that makes plans.
inline constexpr const char* kNoFallbackHelp =
    "Layers without a head that is known to retrieve choose by their best heads too, as published, "
    "instead of by all of their heads";

struct PlanCommand {
  std::string profile;
  std::string out;
  std::string method;
  std::optional<int64_t> budget;
  std::optional<int64_t> bytes;
  std::optional<double> retention;
  std::vector<int64_t> context_lengths;  // the first is planned for, all are linted
  std::string selector_heads = "4";      // a number, or "auto"
  double selector_threshold = 0.1;
  std::string error_steps = "sum";
  std::string pooling = "average";
  std::string group_reduction = "sum";
  std::string objective = "squared";
  std::string gates;
  std::optional<int64_t> recent_tokens;
  MethodSettings settings;
  profiler::MethodOptions options;
};

void add_plan_options(CLI::App& app, PlanCommand& command);

// The command's words and lists as options of the plan. InputError for a word that means nothing.
[[nodiscard]] profiler::MethodOptions settle_options(const PlanCommand& command);

// What the plan's provenance says of how it was asked for.
[[nodiscard]] std::map<std::string, std::string> stored_options(const PlanCommand& command);

}  // namespace headscope::cli
