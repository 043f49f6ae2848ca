#include "profiler/evaluate_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "model/rotary.h"
#include "outputs/atomic_file.h"
#include "outputs/evaluation_file.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "profiler/answer_cost.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/evaluate_options.h"
#include "profiler/cli/evaluation_table.h"
#include "profiler/greedy_answer.h"
#include "profiler/method_plan.h"
#include "profiler/plan_inputs.h"
#include "runtime/eviction_policy.h"

namespace headscope::cli {
namespace {

void emit_result(const Session& session,
                 const profiler::EvaluateOutcome& outcome,
                 const std::string& out) {
  session.emit(Json{{"rows", rows_json(outcome.evaluation)}, {"num_resumed", outcome.num_resumed}},
               rows_text(outcome.evaluation) + "wrote " + out);
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

struct PromptSize {
  int64_t prompt_tokens = 0;
  int64_t answer_tokens = 0;  // of one setting
  int64_t sample = 0;
};

// Of a task file the prompts themselves, which takes a tokenizer; of families what they will have.
std::vector<PromptSize> prompt_sizes(const EvaluateCommand& command) {
  std::vector<PromptSize> sizes;
  if (!command.task_file.empty()) {
    const auto source = model::open_model_source(command.model);
    const auto tokenizer = source->open_tokenizer();
    const profiler::PromptWriter writer(*tokenizer, source->chat_template(),
                                        profiler::parse_format_choice(command.format));
    for (const profiler::TaskSample& sample : build_evaluation_samples(
             command, writer, source->chat_template(), model::position_limit(source->config()))) {
      sizes.push_back(
          {static_cast<int64_t>(sample.prompt.size()), sample.max_new_tokens, sample.sample});
    }
    return sizes;
  }
  constexpr int64_t kAnswerTokens = 16;  // of most families, about
  for (size_t task = 0; task < command.tasks.size(); ++task) {
    for (const int64_t context : command.contexts) {
      for (int64_t i = 0; i < command.samples; ++i) sizes.push_back({context, kAnswerTokens, i});
    }
  }
  return sizes;
}

// Mean tokens per KV head of the compressed caches that stand beside the full one at once, where
// they are largest.
int64_t most_compressed(const EvaluateCommand& command, int64_t longest_context) {
  std::vector<int64_t> sizes = command.run.budgets;
  for (const double retention : command.run.retentions) {
    sizes.push_back(std::llround(retention * static_cast<double>(longest_context)));
  }
  const size_t methods = command.run.methods.size() + command.run.arms.size() + 1;  // and random
  std::vector<int64_t> all;
  for (size_t i = 0; i < methods; ++i) all.insert(all.end(), sizes.begin(), sizes.end());
  for (const std::string& path : command.plans) {
    const BudgetPlan plan = outputs::read_plan(path);
    all.push_back(plan.lint.nominal_tokens / plan.model.shape.num_kv_heads /
                  plan.model.shape.num_layers);
  }
  int64_t most = 0;
  for (size_t first = 0; first < all.size(); ++first) {
    int64_t together = 0;
    for (size_t i = first; i < std::min(all.size(), first + profiler::kAnswersSideBySide); ++i) {
      together += std::min(all[i], longest_context);
    }
    most = std::max(most, together);
  }
  return most;
}

profiler::RunSize run_size(const EvaluateCommand& command) {
  const profiler::EvaluateOptions& run = command.run;
  const auto sizes = static_cast<int64_t>(std::max(run.retentions.size(), run.budgets.size()));
  const auto methods = static_cast<int64_t>(run.methods.size() + run.arms.size());
  // What is timed runs alone; random tokens do not.
  const int64_t alone = 1 + methods * sizes + static_cast<int64_t>(command.plans.size());
  profiler::RunSize size;
  for (const PromptSize& prompt : prompt_sizes(command)) {
    const int64_t timed = prompt.sample < run.timed_samples ? alone : 0;
    size.longest_context =
        std::max(size.longest_context, prompt.prompt_tokens + prompt.answer_tokens);
    size.prompt_tokens += (1 + timed) * prompt.prompt_tokens;
    size.decode_tokens +=
        (alone + sizes) * prompt.answer_tokens + timed * profiler::CostOptions().decode_tokens;
  }
  size.chunk_tokens = run.chunk_tokens;
  size.compressed_tokens = most_compressed(command, size.longest_context);
  return size;
}

// Once for all plans: which heads retrieve takes time to tell. None where no method asks for it.
std::optional<profiler::Selectors> choose_selectors(Session& session,
                                                    const EvaluateCommand& command,
                                                    const std::optional<HeadProfile>& profile) {
  const auto& methods = command.run.methods;
  const bool wanted = std::any_of(methods.begin(), methods.end(), [](const std::string& name) {
    return runtime::find_policy(name, "--methods").needs_selector_heads;
  });
  if (!wanted || !profile) return std::nullopt;
  profiler::MethodOptions options;
  apply_method_settings(command.settings, options);
  options.fallback = command.fallback;
  auto selectors = profiler::pick_selectors(*profile, options);
  for (const std::string& note : selectors.notes) session.console.message(note);
  return selectors;
}

profiler::PlanMaker plan_maker(const EvaluateCommand& command,
                               const std::map<std::string, BudgetPlan>& plans,
                               const HeadProfile* profile,
                               const std::optional<profiler::Selectors>& selectors,
                               const ModelIdentity& model) {
  return [&command, &plans, profile, &selectors, &model](const std::string& method, int64_t budget,
                                                         int64_t prompt_tokens) {
    const auto given = plans.find(method);
    if (given != plans.end()) return given->second;
    profiler::MethodOptions options;
    options.context_length = prompt_tokens;
    apply_method_settings(command.settings, options);
    for (const profiler::SelectorArm& arm : command.arms) {
      if (arm.label() != method) continue;
      if (profile == nullptr) {
        throw InputError("--arm-*: " + method, "a profile with scores and error curves",
                         "no profile", "Give --profile P.h5.");
      }
      return profiler::plan_for_arm(arm, *profile, budget, command.run.seed, options);
    }
    options.selectors = selectors;
    return profiler::plan_for_method(method, budget, model, profile, options);
  };
}

void run_evaluate(Session& session, EvaluateCommand& command) {
  session.apply_common();
  command.settle(session.common.seed);
  if (session.common.dry_run) return emit_estimate(session, command.model, run_size(command));
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
  const auto selectors = choose_selectors(session, command, profile);
  const profiler::PlanMaker make_plan =
      plan_maker(command, plans, profile ? &*profile : nullptr, selectors, model.identity);
  // What a method lacks is said now, not after the first prefill.
  for (const auto* names : {&command.run.methods, &command.run.arms}) {
    for (const std::string& name : *names) (void)make_plan(name, 64, command.contexts.front());
  }

  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  const std::vector<profiler::TaskSample> samples = build_evaluation_samples(
      command, writer, model.chat, model::position_limit(model.decoder->config()));
  Provenance provenance = session.provenance(model);
  command.describe(writer, provenance);
  profiler::TrialStore store(command.out, command.resume);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  const profiler::EvaluateOutcome outcome = profiler::evaluate(
      measured, samples, make_plan, command.run, provenance, session.console, &store);
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
  add_evaluate_options(*sub, *command);
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_evaluate(session, *command); });
}

}  // namespace headscope::cli
