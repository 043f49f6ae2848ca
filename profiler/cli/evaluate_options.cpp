#include "profiler/cli/evaluate_options.h"

#include <optional>

#include "outputs/input_error.h"
#include "profiler/cli/plan_options.h"
#include "profiler/haystack.h"
#include "profiler/option_check.h"
#include "profiler/task_files/task_file.h"
#include "profiler/tasks/sample_layout.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

void add_task_options(CLI::App& app, EvaluateCommand& command) {
  app.add_option("--tasks", command.tasks, "Task families, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::task_names()))
      ->capture_default_str();
  app.add_option("--contexts", command.contexts,
                 "Tokens of a prompt, comma-separated; with a task file the most tokens of one")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--depths", command.depths,
                 "Where needles stand, 0..1, taken in turn (default: drawn at random)")
      ->delimiter(',');
  app.add_option("--samples", command.samples,
                 "Prompts per task and context; of a task file the first ones (default: all)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--haystack", command.haystack,
                 "A text file or a folder of .txt files to stand around needles");
  app.add_option("--task-file", command.task_file, "JSON lines to ask instead of --tasks");
  app.add_option("--task-format", command.task_format, "Of the task file")
      ->check(CLI::IsMember({"longbench", "ruler", "niah"}));
  app.add_option("--longbench-prompts", command.prompt_table,
                 "LongBench's dataset2prompt.json (default: beside the task file)");
  app.add_option("--longbench-lengths", command.length_table,
                 "LongBench's dataset2maxlen.json (default: beside the task file)");
  app.add_option("--prompt-format", command.format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
}

void add_method_options(CLI::App& app, EvaluateCommand& command) {
  app.add_option("--methods", command.run.methods,
                 "Eviction methods, comma-separated; full and random are always run")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--retentions", command.run.retentions, "Kept shares of the prompt's bytes, 0..1")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--budgets", command.run.budgets,
                 "Mean tokens per KV head, instead of --retentions")
      ->delimiter(',');
  app.add_flag("!--no-fallback", command.fallback, kNoFallbackHelp);
  add_method_settings(app, command.settings);
  app.add_flag("--question-agnostic", command.run.question_agnostic,
               "Compress the context before the question is read; budgets are then the context's");
  app.add_option("--timed-samples", command.run.timed_samples,
                 "Prompts per task, context and method that are run once more, alone, to measure "
                 "time, memory and speed")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--arm-selectors", command.arm_choices.selectors,
                 "Variants of compresskv by who chooses: a score's best heads (srh, retrieval, …), "
                 "random (heads), all (heads)")
      ->delimiter(',');
  app.add_option("--arm-heads", command.arm_choices.numbers,
                 "Variants of compresskv by selector heads per layer: 1,2,4,6,all")
      ->delimiter(',');
  app.add_option("--arm-allocations", command.arm_choices.allocations,
                 "Variants of compresskv by budgets: layer (by error), uniform, curve (by KV head)")
      ->delimiter(',')
      ->check(CLI::IsMember({"layer", "uniform", "curve"}));
  app.add_option("--arm-sets", command.arm_choices.sets,
                 "Variants of compresskv by what shares a ranking of keys: layer, kv_head")
      ->delimiter(',')
      ->check(CLI::IsMember({"layer", "kv_head"}));
  app.add_option("--arm-pooling-kernels", command.arm_choices.pooling_kernels,
                 "Variants of compresskv by tokens that scores are pooled over (odd)")
      ->delimiter(',');
}

profiler::TaskFileRequest file_request(const EvaluateCommand& command, int64_t position_limit) {
  profiler::TaskFileRequest request;
  request.path = command.task_file;
  request.format = profiler::parse_task_file_format(command.task_format);
  request.prompt_format = profiler::parse_format_choice(command.format);
  request.max_samples = command.is_given("--samples") ? command.samples : 0;
  request.prompt_table = command.prompt_table;
  request.length_table = command.length_table;
  request.position_limit = position_limit;
  request.depths = command.depths;
  request.haystack = command.haystack;
  request.seed = command.run.seed + profiler::kEvaluationSeeds;
  if (request.format == profiler::TaskFileFormat::kNiah) {
    if (command.is_given("--contexts")) request.context_lengths = command.contexts;
  } else if (command.is_given("--contexts")) {
    request.max_prompt_tokens = command.contexts.front();
  }
  return request;
}

}  // namespace

bool EvaluateCommand::is_given(const std::string& option) const {
  return app->get_option(option)->count() > 0;
}

void EvaluateCommand::settle(uint64_t seed) {
  if (!run.budgets.empty()) {
    if (is_given("--retentions")) throw InputError("evaluate", "--budgets or --retentions", "both");
    run.retentions.clear();
  }
  run.seed = seed;
  arms = profiler::expand_arms(arm_choices);
  run.arms.clear();
  for (const profiler::SelectorArm& arm : arms) run.arms.push_back(arm.label());
  run.validate();
  profiler::check_depths(depths);
  if (task_file.empty() != task_format.empty()) {
    throw InputError(task_file.empty() ? "--task-format" : "--task-file",
                     "--task-file and --task-format together", "one of them");
  }
  if (task_file.empty()) return;
  if (is_given("--tasks")) throw InputError("evaluate", "--tasks or --task-file", "both");
  const bool is_niah = task_format == "niah";
  if (!is_niah && is_given("--contexts") && contexts.size() > 1) {
    throw InputError("--contexts", "one number, the most tokens of a prompt, with a task file",
                     profiler::join_values(contexts));
  }
}

void EvaluateCommand::describe(const profiler::PromptWriter& writer, Provenance& provenance) const {
  auto& stored = provenance.options;
  if (task_file.empty()) {
    stored["tasks"] = profiler::join_values(tasks);
    stored["samples"] = std::to_string(samples);
  } else {
    stored["task_file"] = task_file;
    stored["task_format"] = task_format;
    stored["samples"] = is_given("--samples") ? std::to_string(samples) : "all";
  }
  const bool asks_lengths = task_file.empty() || is_given("--contexts");
  stored["contexts"] = asks_lengths ? profiler::join_values(contexts) : "as they are";
  if (!fallback) stored["fallback"] = "no";
  stored.merge(stored_settings(settings));
  stored["depths"] = depths.empty() ? "drawn" : profiler::join_values(depths);
  stored["haystack"] = haystack.empty() ? "built-in prose" : haystack;
  stored["prompt_format"] = format == "auto" ? "auto:" + writer.format_name() : format;
}

void add_evaluate_options(CLI::App& app, EvaluateCommand& command) {
  command.app = &app;
  app.add_option("model", command.model, "Model directory, GGUF file or cached hub id")->required();
  app.add_option("--profile", command.profile,
                 "The profile that methods and arms need (calibrated, for budgets by error)");
  app.add_option("--plan", command.plans,
                 "A plan to evaluate beside the methods (may be repeated)");
  add_task_options(app, command);
  add_method_options(app, command);
  app.add_option("--out", command.out, "HDF5 (.h5) or JSON")->required();
  app.add_flag("--resume", command.resume, "Go on where an interrupted run stopped");
}

std::vector<profiler::TaskSample> build_evaluation_samples(const EvaluateCommand& command,
                                                           const profiler::PromptWriter& writer,
                                                           const model::ChatTemplate& chat,
                                                           int64_t position_limit) {
  if (!command.task_file.empty()) {
    return profiler::read_task_file(file_request(command, position_limit), writer.tokenizer(),
                                    chat);
  }
  std::optional<profiler::Haystack> haystack;
  if (!command.haystack.empty()) haystack = profiler::Haystack::read(command.haystack);
  return build_task_samples(
      profiler::TaskSetRequest{command.tasks, command.contexts, command.samples,
                               command.run.seed + profiler::kEvaluationSeeds, command.depths},
      writer, haystack ? &*haystack : nullptr);
}

}  // namespace headscope::cli
