#include "profiler/method_plan.h"

#include <algorithm>

#include "outputs/input_error.h"
#include "profiler/plan_inputs.h"
#include "runtime/eviction_policy.h"

namespace headscope::profiler {
namespace {

const runtime::EvictionPolicy& policy_for(const analysis::Allocator& allocator,
                                          const MethodOptions& options) {
  const bool by_score = allocator.kept_by() == analysis::KeptBy::kScore;
  const std::string name = !options.eviction.empty() ? options.eviction
                           : by_score                ? "compresskv"
                                                     : "streaming";
  const runtime::EvictionPolicy& policy = runtime::find_policy(name, "--eviction");
  if (!policy.evicts) throw InputError("--eviction", "a method that evicts", name);
  return policy;
}

// Selector methods and window methods take the user's options, the others their own.
SelectionOptions selection_for(const runtime::EvictionPolicy& policy,
                               const MethodOptions& options) {
  SelectionOptions selection = policy.judges_by_window ? options.selection : policy.defaults;
  selection.num_sink_tokens = options.sink_tokens.value_or(selection.num_sink_tokens);
  return selection;
}

analysis::AllocatorInput input_for(const ModelIdentity& model,
                                   int64_t budget_tokens,
                                   const SelectionOptions& selection,
                                   const MethodOptions& options) {
  analysis::AllocatorInput input;
  input.shape = model.shape;
  input.budget_tokens = budget_tokens;
  input.extra_tokens = options.extra_tokens;
  input.selection = selection;
  input.context_length = options.context_length;
  input.lint_contexts = options.lint_contexts;
  input.min_tokens = options.min_tokens;
  input.max_tokens = options.max_tokens;
  input.page_tokens = options.page_tokens;
  input.num_ranks = options.num_ranks;
  input.bytes_per_element = options.bytes_per_element;
  input.gates = options.gates;
  input.headkv = options.headkv;
  input.razor = options.razor;
  input.gates_options = options.gates_options;
  input.objective = options.objective;
  return input;
}

BudgetPlan allocate(const analysis::Allocator& allocator,
                    const ModelIdentity& model,
                    const runtime::EvictionPolicy& policy,
                    const analysis::AllocatorInput& input) {
  analysis::Allocation allocation = allocator.allocate(input);
  BudgetPlan plan;
  plan.model = model;
  plan.method = policy.name;
  plan.allocator = allocator.name();
  plan.selection = allocation.selection;
  plan.budget_tokens = std::move(allocation.budget_tokens);
  plan.lint = std::move(allocation.lint);
  return plan;
}

void add_notes(const std::vector<std::string>& notes, BudgetPlan& plan) {
  plan.lint.notes.insert(plan.lint.notes.end(), notes.begin(), notes.end());
}

}  // namespace

BudgetPlan plan_from_profile(const HeadProfile& profile,
                             const std::string& allocator_name,
                             int64_t budget_tokens,
                             const MethodOptions& options) {
  const auto allocator = analysis::make_allocator(allocator_name);
  const runtime::EvictionPolicy& policy = policy_for(*allocator, options);
  analysis::AllocatorInput input =
      input_for(profile.model, budget_tokens, selection_for(policy, options), options);
  const std::vector<std::string> notes =
      add_measurements(profile, allocator->needs(), options, input);
  BudgetPlan plan = allocate(*allocator, profile.model, policy, input);
  add_notes(notes, plan);
  if (policy.needs_selector_heads) {
    Selectors selectors = options.selectors ? *options.selectors : pick_selectors(profile, options);
    plan.selector_heads = std::move(selectors.heads);
    add_notes(selectors.notes, plan);
  }
  return plan;
}

BudgetPlan plan_for_method(const std::string& method,
                           int64_t budget_tokens,
                           const ModelIdentity& model,
                           const HeadProfile* profile,
                           const MethodOptions& options) {
  const runtime::EvictionPolicy& policy = runtime::find_policy(method, "--method");
  if (policy.needs_selector_heads) {
    if (profile == nullptr) {
      throw InputError("--method " + method,
                       "a profile with the score " + options.score + " and error curves",
                       "no profile", "Give --profile P.h5.");
    }
    return plan_from_profile(*profile, method, budget_tokens, options);
  }
  const auto uniform = analysis::make_allocator("uniform");
  return allocate(*uniform, model, policy,
                  input_for(model, budget_tokens, policy.defaults, options));
}

}  // namespace headscope::profiler
