#include "profiler/tune_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "analysis/allocator.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/plan_json.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/plan_text.h"
#include "profiler/greedy_answer.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

struct TuneCommand {
  std::string model;
  std::string profile;
  std::string out;
  std::string format = "auto";
  std::string pooling = "average";
  std::optional<int64_t> budget;
  std::optional<double> retention;
  int64_t context_length = 1024;
  std::vector<std::string> tasks = profiler::default_task_names();
  int64_t samples = 8;
  bool resume = false;
  bool allocators_given = false;
  profiler::TuneOptions run;
};

Json trial_json(const profiler::TuneTrial& trial) {
  return Json{{"options",
               {{"selector", trial.selector},
                {"pooling_kernel", trial.pooling_kernel},
                {"observation_window", trial.window},
                {"allocator", trial.allocator}}},
              {"kv_bytes", trial.kv_bytes},
              {"accuracy", trial.accuracy},
              {"ci_low", trial.ci_low},
              {"ci_high", trial.ci_high}};
}

void emit_outcome(const Session& session,
                  const profiler::TuneOutcome& outcome,
                  const std::string& out) {
  Json trials = Json::array();
  std::ostringstream text;
  char line[200];
  std::snprintf(line, sizeof line, "%-44s %10s  %s\n", "settings", "KV cache",
                "accuracy (95 % CI)");
  text << line;
  const auto add = [&](const std::string& name, const profiler::TuneTrial& trial, bool best) {
    std::snprintf(line, sizeof line, "%-44s %10s  %.3f (%.3f to %.3f)%s\n", name.c_str(),
                  human_bytes(trial.kv_bytes).c_str(), trial.accuracy, trial.ci_low, trial.ci_high,
                  best ? "  <- best" : "");
    text << line;
  };
  add("full cache", outcome.full, false);
  for (size_t i = 0; i < outcome.trials.size(); ++i) {
    trials.push_back(trial_json(outcome.trials[i]));
    add(outcome.trials[i].label(), outcome.trials[i], i == outcome.best);
  }
  text << "wrote " << out << "\n" << plan_text(outcome.plan);
  Json full{{"kv_bytes", outcome.full.kv_bytes},
            {"accuracy", outcome.full.accuracy},
            {"ci_low", outcome.full.ci_low},
            {"ci_high", outcome.full.ci_high}};
  session.emit(Json{{"trials", trials},
                    {"best", trial_json(outcome.trials[outcome.best])},
                    {"full", full},
                    {"num_resumed", outcome.num_resumed},
                    {"plan", Json::parse(outputs::plan_to_json(outcome.plan))}},
               text.str());
}

// Allocators that this profile has the measurements for. The first one serves while selectors,
// pooling and windows are tried: by error curves, where there are any, since it won wherever it was
// compared (docs/results.md) and a selector is best judged under the budgets it will get.
std::vector<std::string> possible_allocators(const HeadProfile& profile) {
  std::vector<std::string> names;
  if (!profile.error_curves.empty()) names = {"curve", "compresskv"};
  names.insert(names.end(), {"uniform", "pyramid"});
  if (profile.scores.count("srh") > 0) names.emplace_back("headkv");
  return names;
}

void estimate(const Session& session, const TuneCommand& command) {
  const auto prompts = static_cast<int64_t>(command.tasks.size()) * command.samples;
  profiler::RunSize size;
  size.longest_context = command.context_length + 64;
  size.prompt_tokens = 3 * prompts * command.context_length;  // once per stage
  size.decode_tokens = prompts * (1 + command.run.num_trials()) * 16;
  size.chunk_tokens = command.run.chunk_tokens;
  const double longest = static_cast<double>(size.longest_context);
  const int64_t compressed =
      command.budget.value_or(std::llround(command.retention.value_or(1.0) * longest));
  const auto together = std::min<int64_t>(command.run.num_trials(), profiler::kAnswersSideBySide);
  size.compressed_tokens = together * std::min(compressed, size.longest_context);
  emit_estimate(session, command.model, size);
}

bool already_complete(Session& session, const TuneCommand& command) {
  std::error_code ignored;
  if (!command.resume || !std::filesystem::exists(command.out, ignored)) return false;
  const BudgetPlan plan = outputs::read_plan(command.out);
  session.console.message(command.out + " is complete: nothing to do");
  session.emit(Json{{"plan", Json::parse(outputs::plan_to_json(plan))}}, plan_text(plan));
  return true;
}

void run_tune(Session& session, TuneCommand& command) {
  session.apply_common();
  command.run.pooling = outputs::pooling_from_name(command.pooling, "--pooling");
  command.run.seed = session.common.seed;
  command.run.validate();
  if (session.common.dry_run) return estimate(session, command);
  if (already_complete(session, command)) return;
  outputs::check_output_path(command.out, session.common.force);
  const HeadProfile profile = outputs::read_profile(command.profile);
  if (!command.allocators_given) command.run.allocators = possible_allocators(profile);
  analysis::BudgetRequest request;
  request.tokens = command.budget;
  request.retention = command.retention;
  request.context_length = command.context_length;
  const analysis::TokenBudget budget = analysis::resolve_budget(request, profile.model.shape);

  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  outputs::check_model_match("profile " + command.profile, profile.model, model.identity,
                             session.common.force);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  Provenance provenance = session.provenance(model);
  for (const std::string& task : command.tasks) {
    std::string& tasks = provenance.options["tasks"];
    tasks += (tasks.empty() ? "" : ",") + task;
  }
  provenance.options["samples"] = std::to_string(command.samples);
  profiler::TrialStore store(command.out, command.resume);
  const profiler::TuneOutcome outcome = profiler::tune(
      {*model.decoder, *model.tokenizer, model.identity}, profile,
      build_task_samples(profiler::TaskSetRequest{command.tasks,
                                                  {command.context_length},
                                                  command.samples,
                                                  session.common.seed + profiler::kTuneSeeds},
                         writer),
      budget, command.context_length, command.run, provenance, session.console, &store);
  if (!outcome.complete) {
    throw Interrupted("interrupted: what was measured is saved in " + store.partial_path() +
                      ". Run the same command with --resume to go on.");
  }
  outputs::write_plan(outcome.plan, command.out, session.common.force);
  store.discard();
  emit_outcome(session, outcome, command.out);
}

void add_search_options(CLI::App& sub, TuneCommand& command) {
  sub.add_option("--selectors", command.run.selectors,
                 "all, or a score of the profile and heads per layer (srh:4), comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub.add_option("--pooling", command.pooling, "average or max")->capture_default_str();
  sub.add_option("--pooling-kernels", command.run.pooling_kernels, "Tokens, odd, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub.add_option("--windows", command.run.windows, "Observation windows, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub.add_option("--allocators", command.run.allocators,
                 "How budgets are shared out (default: all that the profile has measurements for)")
      ->delimiter(',')
      ->check(CLI::IsMember(analysis::allocator_names()));
}

}  // namespace

void setup_tune(CLI::App& app, Session& session) {
  auto command = std::make_shared<TuneCommand>();
  CLI::App* sub = app.add_subcommand(
      "tune", "Tries selectors, pooling, windows and allocators at equal bytes; writes the best");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--profile", command->profile, "The model's profile")->required();
  sub->add_option("--budget", command->budget, "Mean tokens per KV head");
  sub->add_option("--retention", command->retention, "Or the kept share of the prompt, 0..1");
  sub->add_option("--context-length", command->context_length,
                  "Tokens of the prompts that the plan is for")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--tasks", command->tasks, "Task families, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::task_names()))
      ->capture_default_str();
  sub->add_option("--samples", command->samples, "Prompts per task")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  add_search_options(*sub, *command);
  sub->add_option("--out", command->out, "The plan: JSON, or HDF5 by extension")->required();
  sub->add_flag("--resume", command->resume, "Go on where an interrupted run stopped");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, sub, &session] {
    command->allocators_given = sub->count("--allocators") > 0;
    run_tune(session, *command);
  });
}

}  // namespace headscope::cli
