#include "profiler/evaluate_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "outputs/atomic_file.h"
#include "outputs/evaluation_file.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/method_plan.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

struct EvaluateCommand {
  std::string model;
  std::string profile;
  std::vector<std::string> plans;
  std::string out;
  std::string format = "auto";
  std::vector<std::string> tasks = {"needle", "qa"};
  std::vector<int64_t> contexts = {1024};
  int64_t samples = 10;
  bool resume = false;
  profiler::EvaluateOptions run;
};

Json rows_json(const Evaluation& evaluation) {
  Json rows = Json::array();
  for (const EvaluationRow& row : evaluation.rows) {
    rows.push_back({{"task", row.task},
                    {"method", row.method},
                    {"context_length", row.context_length},
                    {"retention", row.retention},
                    {"budget_tokens", row.budget_tokens},
                    {"kv_bytes", row.kv_bytes},
                    {"num_samples", row.num_samples},
                    {"accuracy", row.accuracy},
                    {"ci_low", row.ci_low},
                    {"ci_high", row.ci_high},
                    {"retention_of_full", row.retention_of_full},
                    {"below_floor", row.below_floor}});
  }
  return rows;
}

std::string rows_text(const Evaluation& evaluation, const std::string& out) {
  std::ostringstream text;
  char line[160];
  std::snprintf(line, sizeof line, "%-10s %-12s %8s %7s %7s %10s  %-22s %8s\n", "task", "method",
                "context", "kept %", "tokens", "KV cache", "accuracy (95 % CI)", "of full");
  text << line;
  for (const EvaluationRow& row : evaluation.rows) {
    char accuracy[48];
    std::snprintf(accuracy, sizeof accuracy, "%.2f (%.2f to %.2f)%s", row.accuracy, row.ci_low,
                  row.ci_high, row.below_floor ? " *" : "");
    std::snprintf(line, sizeof line, "%-10s %-12s %8lld %7.1f %7lld %10s  %-22s %7.0f%%\n",
                  row.task.c_str(), row.method.c_str(), static_cast<long long>(row.context_length),
                  100 * row.retention, static_cast<long long>(row.budget_tokens),
                  human_bytes(row.kv_bytes).c_str(), accuracy, 100 * row.retention_of_full);
    text << line;
  }
  const bool floors = std::any_of(evaluation.rows.begin(), evaluation.rows.end(),
                                  [](const EvaluationRow& row) { return row.below_floor; });
  if (floors) text << "* below the method's own floor: floor and window were lowered\n";
  text << "wrote " << out;
  return text.str();
}

void emit_result(const Session& session,
                 const profiler::EvaluateOutcome& outcome,
                 const std::string& out) {
  session.emit(Json{{"rows", rows_json(outcome.evaluation)}, {"num_resumed", outcome.num_resumed}},
               rows_text(outcome.evaluation, out));
}

bool already_complete(Session& session, const EvaluateCommand& command) {
  std::error_code ignored;
  if (!command.resume || !std::filesystem::exists(command.out, ignored)) return false;
  profiler::EvaluateOutcome outcome;
  outcome.evaluation = outputs::read_evaluation(command.out);
  session.console.message(command.out + " is complete: nothing to do");
  emit_result(session, outcome, command.out);
  return true;
}

std::vector<profiler::TaskSample> build_samples(const Session& session,
                                                const EvaluateCommand& command,
                                                const profiler::PromptWriter& writer) {
  std::vector<profiler::TaskSample> samples;
  for (const std::string& task : command.tasks) {
    for (const int64_t context : command.contexts) {
      // Not the seeds that calibrate uses: plans must not have seen what they are graded on.
      const profiler::TaskRequest request{task, command.samples, context,
                                          session.common.seed + 1000003};
      auto built = build_task_samples(request, writer);
      samples.insert(samples.end(), std::make_move_iterator(built.begin()),
                     std::make_move_iterator(built.end()));
    }
  }
  return samples;
}

// By the label that their rows carry: "plan:" and the file's name.
std::map<std::string, BudgetPlan> read_plans(const Session& session,
                                             EvaluateCommand& command,
                                             const ModelIdentity& model) {
  std::map<std::string, BudgetPlan> plans;
  command.run.plans.clear();
  for (const std::string& path : command.plans) {
    BudgetPlan plan = outputs::read_plan(path);
    outputs::check_model_match("plan " + path, plan.model, model, session.common.force);
    const std::string label = "plan:" + std::filesystem::path(path).stem().string();
    const int64_t heads = model.shape.num_layers * model.shape.num_kv_heads;
    command.run.plans.emplace_back(label, plan.lint.nominal_tokens / heads);
    if (!plans.emplace(label, std::move(plan)).second) {
      throw InputError("--plan", "plans whose file names differ", path + " twice");
    }
  }
  return plans;
}

void run_evaluate(Session& session, EvaluateCommand& command, bool retentions_given) {
  session.apply_common();
  if (!command.run.budgets.empty()) {
    if (retentions_given) throw InputError("evaluate", "--budgets or --retentions", "both");
    command.run.retentions.clear();
  }
  command.run.seed = session.common.seed;
  command.run.validate();
  if (session.common.dry_run) {
    profiler::RunSize size;
    size.longest_context = *std::max_element(command.contexts.begin(), command.contexts.end()) + 64;
    const auto cells = static_cast<int64_t>(command.tasks.size()) * command.samples;
    for (const int64_t context : command.contexts) size.prompt_tokens += cells * context;
    const size_t arms = 1 + command.run.methods.size() *
                                std::max(command.run.retentions.size(), command.run.budgets.size());
    size.decode_tokens = cells * static_cast<int64_t>(command.contexts.size() * arms) * 16;
    size.chunk_tokens = command.run.chunk_tokens;
    for (const int64_t budget : command.run.budgets) {
      size.compressed_tokens = std::max(size.compressed_tokens, budget);
    }
    for (const double retention : command.run.retentions) {
      size.compressed_tokens =
          std::max<int64_t>(size.compressed_tokens,
                            std::llround(retention * static_cast<double>(size.longest_context)));
    }
    for (const std::string& path : command.plans) {
      const BudgetPlan plan = outputs::read_plan(path);
      size.compressed_tokens = std::max(
          size.compressed_tokens,
          plan.lint.nominal_tokens / plan.model.shape.num_kv_heads / plan.model.shape.num_layers);
    }
    return emit_estimate(session, command.model, size);
  }
  if (already_complete(session, command)) return;
  outputs::check_output_path(command.out, session.common.force);
  std::optional<HeadProfile> profile;
  if (!command.profile.empty()) profile = outputs::read_profile(command.profile);

  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  if (profile) {
    outputs::check_model_match("profile " + command.profile, profile->model, model.identity,
                               session.common.force);
  }
  const std::map<std::string, BudgetPlan> plans = read_plans(session, command, model.identity);
  const auto make_plan = [&](const std::string& method, int64_t budget, int64_t prompt_tokens) {
    const auto given = plans.find(method);
    if (given != plans.end()) return given->second;
    profiler::MethodOptions options;
    options.context_length = prompt_tokens;
    return profiler::plan_for_method(method, budget, model.identity, profile ? &*profile : nullptr,
                                     options);
  };
  // What a method lacks is said now, not after the first prefill.
  for (const std::string& method : command.run.methods)
    (void)make_plan(method, 64, command.contexts.front());

  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  const std::vector<profiler::TaskSample> samples = build_samples(session, command, writer);
  profiler::TrialStore store(command.out, command.resume);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  const profiler::EvaluateOutcome outcome =
      profiler::evaluate(measured, samples, make_plan, command.run, session.provenance(model),
                         session.console, &store);
  if (!outcome.complete) {
    throw Interrupted("interrupted: what was measured is saved in " + store.partial_path() +
                      ". Run the same command with --resume to go on.");
  }
  outputs::write_evaluation(outcome.evaluation, command.out, session.common.force);
  store.discard();
  emit_result(session, outcome, command.out);
}

}  // namespace

void setup_evaluate(CLI::App& app, Session& session) {
  auto command = std::make_shared<EvaluateCommand>();
  CLI::App* sub = app.add_subcommand(
      "evaluate", "Accuracy of compressed caches beside the full one, at equal bytes");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--profile", command->profile, "A calibrated profile (compresskv needs one)");
  sub->add_option("--plan", command->plans,
                  "A plan to evaluate beside the methods (may be repeated)");
  sub->add_option("--tasks", command->tasks, "Task families, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::task_names()))
      ->capture_default_str();
  sub->add_option("--methods", command->run.methods,
                  "Eviction methods, comma-separated; full is always run")
      ->delimiter(',')
      ->capture_default_str();
  CLI::Option* retentions = sub->add_option("--retentions", command->run.retentions,
                                            "Kept shares of the prompt's bytes, 0..1")
                                ->delimiter(',')
                                ->capture_default_str();
  sub->add_option("--budgets", command->run.budgets,
                  "Mean tokens per KV head, instead of --retentions")
      ->delimiter(',');
  sub->add_option("--contexts", command->contexts, "Tokens of a prompt, comma-separated")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--samples", command->samples, "Prompts per task and context")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  sub->add_option("--out", command->out, "HDF5 (.h5) or JSON")->required();
  sub->add_flag("--resume", command->resume, "Go on where an interrupted run stopped");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, retentions, &session] {
    run_evaluate(session, *command, retentions->count() > 0);
  });
}

}  // namespace headscope::cli
