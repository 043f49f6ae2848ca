#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "analysis/bootstrap.h"
#include "analysis/plan_error.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/option_check.h"
#include "profiler/plan_check.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

struct CheckPlanCommand {
  std::string model;
  std::vector<std::string> plan_files;
  std::string profile;
  std::string curves;
  std::string format = "auto";
  std::vector<std::string> tasks = profiler::task_names();
  int64_t samples = 4;
  int64_t context_length = 1024;
  int64_t bootstrap_draws = 2000;
  profiler::PlanCheckOptions run;
};

// One plan: what was measured of it on every prompt, and what the curves promised.
struct PlanRow {
  std::string label;
  BudgetPlan plan;
  std::vector<double> kl, lost, score;  // [num_prompts]; lost = full score - score
  double kv_bytes = 0.0;                // mean over prompts
  double full_kv_bytes = 0.0;
  analysis::PlanError predicted{std::nan(""), std::nan("")};
};

std::vector<PlanRow> read_plans(const Session& session,
                                const CheckPlanCommand& command,
                                const ModelIdentity& model) {
  std::vector<PlanRow> rows;
  for (const std::string& path : command.plan_files) {
    PlanRow row;
    row.label = std::filesystem::path(path).stem().string();
    row.plan = outputs::read_plan(path);
    outputs::check_model_match("plan " + path, row.plan.model, model, session.common.force);
    if (std::any_of(rows.begin(), rows.end(),
                    [&](const PlanRow& other) { return other.label == row.label; })) {
      throw InputError("--plan", "plans whose file names differ", path + " twice");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// The curves that predict: the named ones, or the only ones.
void predict(const Session& session,
             const CheckPlanCommand& command,
             const ModelIdentity& model,
             std::vector<PlanRow>& rows) {
  if (command.profile.empty()) return;
  const HeadProfile profile = outputs::read_profile(command.profile);
  outputs::check_model_match("profile " + command.profile, profile.model, model,
                             session.common.force);
  std::vector<std::string> names;
  for (const auto& [name, unused] : profile.error_curves) names.push_back(name);
  const std::string wanted =
      command.curves.empty() && names.size() == 1 ? names.front() : command.curves;
  const auto found = profile.error_curves.find(wanted);
  if (found == profile.error_curves.end()) {
    throw InputError("--curves",
                     "one of " + (names.empty() ? "none" : profiler::join_values(names)),
                     wanted.empty() ? "no choice" : wanted, "Run headscope calibrate first.");
  }
  for (PlanRow& row : rows) row.predicted = analysis::predict_plan_error(found->second, row.plan);
}

void take_outcomes(const std::vector<profiler::CheckedPrompt>& prompts,
                   std::vector<PlanRow>& rows) {
  for (const profiler::CheckedPrompt& prompt : prompts) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const profiler::PlanOutcome& outcome = prompt.plans[i];
      rows[i].kl.push_back(outcome.kl);
      rows[i].score.push_back(outcome.score);
      rows[i].lost.push_back(prompt.full_score - outcome.score);
      const auto count = static_cast<double>(prompts.size());
      rows[i].kv_bytes += static_cast<double>(outcome.kv_bytes) / count;
      rows[i].full_kv_bytes += static_cast<double>(prompt.full_kv_bytes) / count;
    }
  }
}

Json interval_json(const analysis::MeanInterval& of) {
  return {{"mean", of.mean}, {"ci_low", of.low}, {"ci_high", of.high}};
}

Json rows_json(const std::vector<PlanRow>& rows, const analysis::BootstrapOptions& bootstrap) {
  Json json = Json::array();
  for (const PlanRow& row : rows) {
    Json one{{"plan", row.label},
             {"allocator", row.plan.allocator},
             {"method", row.plan.method},
             {"nominal_tokens", row.plan.lint.nominal_tokens},
             {"kv_bytes", row.kv_bytes},
             {"full_kv_bytes", row.full_kv_bytes},
             {"kl", interval_json(analysis::bootstrap_mean(row.kl, bootstrap))},
             {"score", interval_json(analysis::bootstrap_mean(row.score, bootstrap))},
             {"lost_score", interval_json(analysis::bootstrap_mean(row.lost, bootstrap))}};
    if (!std::isnan(row.predicted.local)) one["local_error"] = row.predicted.local;
    if (!std::isnan(row.predicted.weighted)) one["weighted_error"] = row.predicted.weighted;
    json.push_back(std::move(one));
  }
  return json;
}

std::vector<std::vector<double>> figure(const std::vector<PlanRow>& rows,
                                        double (*of)(const PlanRow&)) {
  std::vector<std::vector<double>> values;
  for (const PlanRow& row : rows) values.push_back({of(row)});
  return values;
}

std::vector<std::vector<double>> figure(const std::vector<PlanRow>& rows,
                                        std::vector<double> PlanRow::*field) {
  std::vector<std::vector<double>> values;
  for (const PlanRow& row : rows) values.push_back(row.*field);
  return values;
}

// How the cheap figures order the plans beside the costly ones; three plans or more.
Json correlations_json(const std::vector<PlanRow>& rows,
                       const analysis::BootstrapOptions& bootstrap) {
  Json json = Json::object();
  if (rows.size() < 3) return json;
  const auto kl = figure(rows, &PlanRow::kl), lost = figure(rows, &PlanRow::lost);
  const auto local = figure(rows, [](const PlanRow& row) { return row.predicted.local; });
  const auto weighted = figure(rows, [](const PlanRow& row) { return row.predicted.weighted; });
  const auto add = [&](const char* name, const auto& a, const auto& b) {
    const analysis::Correlation found = analysis::plan_correlation(a, b, bootstrap);
    if (std::isnan(found.rho)) return;
    json[name] = {{"rho", found.rho}, {"ci_low", found.low}, {"ci_high", found.high}};
  };
  add("kl_and_lost_score", kl, lost);
  add("local_error_and_kl", local, kl);
  add("local_error_and_lost_score", local, lost);
  add("weighted_error_and_kl", weighted, kl);
  add("weighted_error_and_lost_score", weighted, lost);
  return json;
}

// Every prompt by itself, so that plans can be compared in pairs.
Json prompts_json(const std::vector<profiler::CheckedPrompt>& prompts) {
  Json json = Json::array();
  for (const profiler::CheckedPrompt& prompt : prompts) {
    Json kl = Json::array(), score = Json::array();
    for (const profiler::PlanOutcome& outcome : prompt.plans) {
      kl.push_back(outcome.kl);
      score.push_back(outcome.score);
    }
    json.push_back({{"task", prompt.task},
                    {"sample", prompt.sample},
                    {"num_tokens", prompt.num_tokens},
                    {"full_score", prompt.full_score},
                    {"kl", std::move(kl)},
                    {"score", std::move(score)}});
  }
  return json;
}

std::string text_of(const Json& result) {
  std::string text =
      "plan                      KL per token [95 %]            score  lost   "
      "local error\n";
  char line[160];
  for (const Json& row : result["rows"]) {
    std::snprintf(line, sizeof line, "%-24s %8.4f [%.4f, %.4f]   %6.3f %6.3f",
                  row["plan"].get<std::string>().c_str(), row["kl"]["mean"].get<double>(),
                  row["kl"]["ci_low"].get<double>(), row["kl"]["ci_high"].get<double>(),
                  row["score"]["mean"].get<double>(), row["lost_score"]["mean"].get<double>());
    text += line;
    if (row.contains("local_error")) {
      std::snprintf(line, sizeof line, "   %.4f", row["local_error"].get<double>());
      text += line;
    }
    text += "\n";
  }
  for (const auto& [name, of] : result["correlations"].items()) {
    std::snprintf(line, sizeof line, "rank correlation of %s: %.2f [%.2f, %.2f]\n", name.c_str(),
                  of["rho"].get<double>(), of["ci_low"].get<double>(), of["ci_high"].get<double>());
    text += line;
  }
  return text;
}

void run_check_plan(Session& session, const CheckPlanCommand& command) {
  session.apply_common();
  command.run.validate();
  profiler::check_range("bootstrap draws", command.bootstrap_draws, 100, 1000000);
  const auto started = std::chrono::steady_clock::now();
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  std::vector<PlanRow> rows = read_plans(session, command, model.identity);
  predict(session, command, model.identity, rows);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  const std::vector<profiler::TaskSample> samples =
      build_task_samples(profiler::TaskSetRequest{command.tasks,
                                                  {command.context_length},
                                                  command.samples,
                                                  session.common.seed + profiler::kPlanCheckSeeds},
                         writer);
  std::vector<BudgetPlan> plans;
  for (const PlanRow& row : rows) plans.push_back(row.plan);
  const auto prompts = profiler::check_plans({*model.decoder, *model.tokenizer, model.identity},
                                             samples, plans, command.run, session.console);
  if (prompts.size() < samples.size()) throw Interrupted("interrupted: nothing was written");
  take_outcomes(prompts, rows);
  const analysis::BootstrapOptions bootstrap{
      .num_resamples = command.bootstrap_draws, .confidence = 0.95, .seed = session.common.seed};
  Json result{{"rows", rows_json(rows, bootstrap)},
              {"correlations", correlations_json(rows, bootstrap)},
              {"prompts", prompts_json(prompts)}};
  result["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  session.emit(result, text_of(result));
}

}  // namespace

void setup_check_plan(CLI::App& app, Session& session) {
  auto command = std::make_shared<CheckPlanCommand>();
  CLI::App* sub = app.add_subcommand(
      "check-plan",
      "What whole plans do to the answers: KL divergence and score, beside the full "
      "cache's");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--plan", command->plan_files, "Plans to check (may be repeated)")->required();
  sub->add_option("--profile", command->profile,
                  "A calibrated profile, for the error that its curves predict");
  sub->add_option("--curves", command->curves, "Which of its error curves: the selector's name");
  sub->add_option("--tasks", command->tasks, "Task families, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::task_names()))
      ->capture_default_str();
  sub->add_option("--samples", command->samples, "Prompts per task")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--context-length", command->context_length, "Tokens of a prompt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--max-answer-tokens", command->run.max_answer_tokens,
                  "Tokens of the full cache's answer that are compared, at most")
      ->capture_default_str();
  sub->add_option("--bootstrap-draws", command->bootstrap_draws, "For the 95 % intervals")
      ->capture_default_str();
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel});
  sub->callback([command, &session] { run_check_plan(session, *command); });
}

}  // namespace headscope::cli
