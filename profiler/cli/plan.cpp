#include <sstream>

#include "analysis/allocator.h"
#include "analysis/budget_request.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/plan_file.h"
#include "outputs/plan_json.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/method_plan.h"

namespace headscope::cli {
namespace {

struct PlanCommand {
  std::string profile;
  std::string out;
  std::string method;
  std::optional<int64_t> budget;
  std::optional<int64_t> bytes;
  std::optional<double> retention;
  std::string error_steps = "sum";
  std::string pooling = "average";
  profiler::MethodOptions options;
};

BudgetPlan make_plan(const PlanCommand& command, const HeadProfile& profile) {
  analysis::BudgetRequest request;
  request.tokens = command.budget;
  request.bytes = command.bytes;
  request.retention = command.retention;
  request.context_length = command.options.context_length;
  const std::string& dtype = profile.provenance.dtype;
  request.bytes_per_element = dtype == "bfloat16" || dtype == "float16" ? 2 : 4;

  profiler::MethodOptions options = command.options;
  options.selection.pooling = outputs::pooling_from_name(command.pooling, "--pooling");
  if (command.error_steps == "mean") options.error_steps = analysis::ErrorSteps::kMean;
  return profiler::plan_from_profile(
      profile, command.method, analysis::resolve_budget(request, profile.model.shape), options);
}

std::string plan_text(const BudgetPlan& plan, const std::string& out) {
  std::ostringstream text;
  text << "wrote " << out << ": " << plan.allocator << " budgets of " << plan.lint.smallest_budget
       << " to " << plan.lint.largest_budget << " tokens per KV head, " << plan.lint.nominal_tokens
       << " in all\n";
  text << "tokens per KV head, by layer:";
  for (const auto& layer : plan.budget_tokens) text << ' ' << layer.front();
  text << "\n";
  if (plan.lint.context_length > 0) {
    text << "usable at " << plan.lint.context_length << " tokens: " << plan.lint.usable_tokens
         << " of " << plan.lint.nominal_tokens << "\n";
  }
  for (const std::string& note : plan.lint.notes) text << "note: " << note << "\n";
  return text.str();
}

void run_plan(Session& session, const PlanCommand& command) {
  session.apply_common();
  outputs::check_output_path(command.out, session.common.force);
  const HeadProfile profile = outputs::read_profile(command.profile);
  BudgetPlan plan = make_plan(command, profile);
  plan.provenance = session.provenance();
  plan.provenance.options = {{"method", command.method},
                             {"score", command.options.score},
                             {"selector_heads", std::to_string(command.options.selector_heads)},
                             {"error_steps", command.error_steps}};
  outputs::write_plan(plan, command.out, session.common.force);
  session.emit(Json::parse(outputs::plan_to_json(plan)), plan_text(plan, command.out));
}

}  // namespace

void setup_plan(CLI::App& app, Session& session) {
  auto command = std::make_shared<PlanCommand>();
  profiler::MethodOptions& options = command->options;
  CLI::App* sub = app.add_subcommand("plan", "Shares a KV-cache budget out among layers and heads");
  sub->add_option("profile", command->profile, "A profile (with error curves for compresskv)")
      ->required();
  sub->add_option("--method", command->method, "How budgets are shared out")
      ->required()
      ->check(CLI::IsMember(analysis::allocator_names()));
  sub->add_option("--budget", command->budget,
                  "Mean tokens per KV head, observation window included");
  sub->add_option("--bytes", command->bytes, "Bytes of keys and values in all");
  sub->add_option("--retention", command->retention,
                  "Kept share of the prompt, 0..1 (with --context-length)");
  sub->add_option("--context-length", options.context_length,
                  "Tokens of the prompts the plan is for")
      ->check(CLI::PositiveNumber);
  sub->add_option("--min-tokens", options.min_tokens, "Least tokens per KV head (compresskv: 32)");
  sub->add_option("--max-tokens", options.max_tokens,
                  "Most tokens per KV head (compresskv: 3 x budget)");
  sub->add_option("--score", options.score, "Which score picks the selector heads")
      ->capture_default_str();
  sub->add_option("--selector-heads", options.selector_heads, "Selector heads per layer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--selector", options.curves,
                  "Which error curves, where the profile holds several");
  sub->add_option("--error-steps", command->error_steps,
                  "Error over answer steps: sum (as published) or mean")
      ->check(CLI::IsMember({"sum", "mean"}))
      ->capture_default_str();
  sub->add_option("--observation-window", options.selection.observation_window,
                  "Last prompt queries that judge")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--pooling", command->pooling, "none, average or max")->capture_default_str();
  sub->add_option("--pooling-kernel", options.selection.pooling_kernel, "Tokens, odd")
      ->capture_default_str();
  sub->add_option("--sink-tokens", options.selection.num_sink_tokens, "First tokens always kept")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--out", command->out, "JSON, or HDF5 by extension")->required();
  add_common_options(*sub, session, {Takes::kOutput});
  sub->callback([command, &session] { run_plan(session, *command); });
}

}  // namespace headscope::cli
