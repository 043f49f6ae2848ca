#include "profiler/calibrate_run.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/curve_report.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/task_mix.h"
#include "profiler/option_check.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

struct CalibrateCommand {
  std::string model;
  std::string profile;
  std::string text;
  std::string mix;  // a file; empty = every task weighs the same
  std::string format = "auto";
  std::vector<std::string> tasks = profiler::default_task_names();
  int64_t samples = 4;
  int64_t context_length = 1024;
  bool resume = false;
  profiler::CalibrateOptions run;
};

std::vector<profiler::TaskSample> build_samples(const Session& session,
                                                const CalibrateCommand& command,
                                                const profiler::PromptWriter& writer) {
  std::optional<profiler::Haystack> filler;
  if (!command.text.empty()) filler = profiler::Haystack::read(command.text);
  return build_task_samples(
      profiler::TaskSetRequest{
          command.tasks, {command.context_length}, command.samples, session.common.seed},
      writer, filler ? &*filler : nullptr);
}

// The first selector's curves as they are, all of them by name.
void emit_result(const Session& session,
                 const CalibrateCommand& command,
                 const HeadProfile& profile,
                 double seconds) {
  const int64_t num_layers = profile.model.shape.num_layers;
  const std::vector<std::string> names = command.run.stored_names();
  Json json{{"selector", names.front()}};
  json.update(curves_json(profile.error_curves.at(names.front()), num_layers));
  json["selectors"] = Json::object();
  std::string text = "added error curves to " + command.profile + "\n";
  for (const std::string& name : names) {
    const ErrorCurves& curves = profile.error_curves.at(name);
    json["selectors"][name] = curves_json(curves, num_layers);
    text += curves_text(name, curves, num_layers);
  }
  json["seconds"] = seconds;
  session.emit(json, text);
}

// True when there is nothing left to measure; InputError where curves would be overwritten unasked.
bool already_measured(Session& session,
                      const CalibrateCommand& command,
                      const HeadProfile& profile) {
  bool all = true;
  std::string found;
  for (const std::string& name : command.run.stored_names()) {
    if (profile.error_curves.count(name) == 0) {
      all = false;
    } else {
      found += (found.empty() ? "" : ", ") + name;
    }
  }
  if (all && command.resume) {
    session.console.message(command.profile + " holds the curves " + found + ": nothing to do");
    return true;
  }
  if (!found.empty() && !session.common.force) {
    throw InputError(command.profile + ": it holds error curves " + found +
                     " already. Give --force to measure them again.");
  }
  return false;
}

// The tasks of the mix where there is one; a list of tasks given with it must be the same.
void apply_mix(CalibrateCommand& command, bool tasks_given) {
  if (command.mix.empty()) return;
  command.run.mix = read_task_mix(command.mix);
  std::vector<std::string> mixed;
  for (const auto& [task, unused] : command.run.mix) mixed.push_back(task);
  std::vector<std::string> asked = command.tasks;
  std::sort(asked.begin(), asked.end());
  if (tasks_given && asked != mixed) {
    throw InputError("--tasks", "the tasks of " + command.mix + ": " + profiler::join_values(mixed),
                     profiler::join_values(command.tasks), "Give only one of the two.");
  }
  command.tasks = std::move(mixed);
}

void run_calibrate(Session& session, CalibrateCommand& command, bool tasks_given) {
  session.apply_common();
  apply_mix(command, tasks_given);
  if (session.common.dry_run) {
    profiler::RunSize size;
    const auto samples = static_cast<int64_t>(command.tasks.size()) * command.samples;
    size.longest_context = command.context_length + command.run.max_answer_tokens;
    size.prompt_tokens = samples * command.context_length;
    size.decode_tokens = samples * command.run.max_answer_tokens;
    size.chunk_tokens = command.run.chunk_tokens;
    return emit_estimate(session, command.model, size);
  }
  const auto started = std::chrono::steady_clock::now();
  const HeadProfile profile = outputs::read_profile(command.profile);
  if (already_measured(session, command, profile)) {
    return emit_result(session, command, profile, 0.0);
  }
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  outputs::check_model_match("profile " + command.profile, profile.model, model.identity,
                             session.common.force);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  const std::vector<profiler::TaskSample> samples = build_samples(session, command, writer);

  profiler::TrialStore store(command.profile, command.resume);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  profiler::CalibrateOutcome outcome =
      profiler::calibrate(measured, profile, samples, command.run, session.console, &store);
  if (!outcome.complete) {
    throw Interrupted("interrupted: what was measured is saved in " + store.partial_path() +
                      ". Run the same command with --resume to go on.");
  }
  outputs::write_profile(outcome.profile, command.profile, /*overwrite=*/true);
  store.discard();
  emit_result(session, command, outcome.profile,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
}

}  // namespace

void setup_calibrate(CLI::App& app, Session& session) {
  auto command = std::make_shared<CalibrateCommand>();
  CLI::App* sub =
      app.add_subcommand("calibrate", "Measures what eviction costs each layer, at many budgets");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--profile", command->profile, "The profile to add the curves to")->required();
  sub->add_option("--budgets", command->run.budgets,
                  "Tokens kept per KV head, comma-separated; 32 is always added")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option(
         "--selector", command->run.selectors,
         "Who ranks the keys, comma-separated: SCORE (a layer's best heads for all its KV "
         "heads), window (each KV head's own query heads), SCORE-head (each KV head's best)")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--selector-heads", command->run.heads.layer_heads,
                  "Selector heads per layer, of SCORE")
      ->capture_default_str();
  sub->add_option("--group-heads", command->run.heads.group_heads,
                  "Selector heads per KV head, of SCORE-head")
      ->capture_default_str();
  sub->add_option("--kl-budgets", command->run.kl_budgets,
                  "Also evict each layer alone to these budgets and measure the KL divergence of "
                  "the logits: what an error of that layer does to the answer")
      ->delimiter(',');
  CLI::Option* tasks = sub->add_option("--tasks", command->tasks, "Task families, comma-separated")
                           ->delimiter(',')
                           ->check(CLI::IsMember(profiler::task_names()))
                           ->capture_default_str();
  sub->add_option("--task-mix", command->mix,
                  "JSON object, task -> weight: the tasks, and how much each counts");
  sub->add_option("--samples", command->samples, "Prompts per task")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--context-length", command->context_length, "Tokens of a prompt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--max-answer-tokens", command->run.max_answer_tokens,
                  "Answer steps measured per prompt")
      ->capture_default_str();
  sub->add_option("--text", command->text,
                  "Filler of your own: a text file or a folder of .txt files");
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  sub->add_flag("--resume", command->resume, "Go on where an interrupted run stopped");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback(
      [command, tasks, &session] { run_calibrate(session, *command, tasks->count() > 0); });
}

}  // namespace headscope::cli
