// The options of `evaluate`, bound to one struct.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"
#include "outputs/provenance.h"
#include "profiler/cli/method_settings.h"
#include "profiler/evaluate_run.h"
#include "profiler/prompt_format.h"
#include "profiler/selector_arms.h"

namespace headscope::cli {

struct EvaluateCommand {
  std::string model;
  std::string profile;
  std::vector<std::string> plans;
  std::string out;
  std::string format = "auto";
  bool resume = false;
  bool fallback = true;  // MethodOptions::fallback
  MethodSettings settings;

  // What is asked: task families, or a task file.
  std::vector<std::string> tasks = {"needle", "qa"};
  std::vector<int64_t> contexts = {1024};
  std::vector<double> depths;
  int64_t samples = 10;
  std::string task_file;
  std::string task_format;
  std::string prompt_table;
  std::string length_table;
  std::string haystack;

  // Arms that take CompressKV apart.
  profiler::ArmChoices arm_choices;
  std::vector<profiler::SelectorArm> arms;  // of settle()

  profiler::EvaluateOptions run;
  CLI::App* app = nullptr;  // where the options were added; knows which were given

  // Checks what can be told before a model is opened, and completes `run`. To be called once.
  void settle(uint64_t seed);
  [[nodiscard]] bool is_given(const std::string& option) const;
  // What the evaluation's provenance says of what was asked, so that a run resumes only its own.
  void describe(const profiler::PromptWriter& writer, Provenance& provenance) const;
};

void add_evaluate_options(CLI::App& app, EvaluateCommand& command);

// Samples of the families or of the task file, for a model with so many positions.
[[nodiscard]] std::vector<profiler::TaskSample> build_evaluation_samples(
    const EvaluateCommand& command,
    const profiler::PromptWriter& writer,
    const model::ChatTemplate& chat,
    int64_t position_limit);

}  // namespace headscope::cli
