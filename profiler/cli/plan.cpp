#include <sstream>

#include "analysis/allocator.h"
#include "analysis/budget_request.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/interop/duo_pattern.h"
#include "outputs/plan_file.h"
#include "outputs/plan_json.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/plan_options.h"
#include "profiler/cli/plan_text.h"
#include "profiler/method_plan.h"

namespace headscope::cli {
namespace {

int64_t bytes_per_element(const HeadProfile& profile) {
  const std::string& dtype = profile.provenance.dtype;
  return dtype == "bfloat16" || dtype == "float16" ? 2 : 4;
}

// The gates, and their sinks and recent tokens where the user names none.
std::vector<std::string> add_gates(const PlanCommand& command, profiler::MethodOptions& options) {
  if (command.gates.empty()) return {};
  outputs::DuoPattern pattern = outputs::read_duo_pattern(command.gates);
  options.gates = std::move(pattern.gates);
  if (!options.sink_tokens) options.sink_tokens = pattern.sink_size;
  options.gates_options.num_recent_tokens = command.recent_tokens.value_or(
      pattern.recent_size.value_or(options.gates_options.num_recent_tokens));
  return pattern.warnings;
}

BudgetPlan make_plan(const PlanCommand& command, const HeadProfile& profile) {
  profiler::MethodOptions options = settle_options(command);
  options.bytes_per_element = bytes_per_element(profile);
  const std::vector<std::string> warnings = add_gates(command, options);

  analysis::BudgetRequest request;
  request.tokens = command.budget;
  request.bytes = command.bytes;
  request.retention = command.retention;
  request.context_length = options.context_length;
  request.bytes_per_element = options.bytes_per_element;
  const analysis::TokenBudget budget = analysis::resolve_budget(request, profile.model.shape);
  options.extra_tokens = budget.extra;
  BudgetPlan plan =
      profiler::plan_from_profile(profile, command.method, budget.per_kv_head, options);
  plan.lint.notes.insert(plan.lint.notes.end(), warnings.begin(), warnings.end());
  return plan;
}

void run_plan(Session& session, const PlanCommand& command) {
  session.apply_common();
  outputs::check_output_path(command.out, session.common.force);
  const HeadProfile profile = outputs::read_profile(command.profile);
  BudgetPlan plan = make_plan(command, profile);
  plan.provenance = session.provenance();
  plan.provenance.options = stored_options(command);
  outputs::write_plan(plan, command.out, session.common.force);
  session.emit(Json::parse(outputs::plan_to_json(plan)),
               "wrote " + command.out + "\n" + plan_text(plan));
}

}  // namespace

void setup_plan(CLI::App& app, Session& session) {
  auto command = std::make_shared<PlanCommand>();
  CLI::App* sub = app.add_subcommand("plan", "Shares a KV-cache budget out among layers and heads");
  add_plan_options(*sub, *command);
  add_common_options(*sub, session, {Takes::kOutput});
  sub->callback([command, &session] { run_plan(session, *command); });
}

}  // namespace headscope::cli
