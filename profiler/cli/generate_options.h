// The options of `generate`, bound to one struct.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/generate.h"
#include "profiler/cli/method_settings.h"
#include "profiler/conversation.h"
#include "runtime/compressor.h"

namespace headscope::cli {

struct GenerateCommand {
  std::string model;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::string tokens;
  std::string plan;
  std::string method;
  std::string profile;
  std::optional<int64_t> budget;
  std::optional<double> retention;
  std::string save_retained;
  std::string answer;
  std::vector<std::string> turns;
  bool chat = false;
  bool fallback = true;
  MethodSettings settings;
  bool drift_check = false;
  profiler::DriftOptions drift{.sentinels = 4};
  runtime::CompressorOptions compressor;
  model::GenerateOptions run;

  // What can be told before a model is opened. InputError.
  void check() const;
};

void add_generate_options(CLI::App& app, GenerateCommand& command);

}  // namespace headscope::cli
