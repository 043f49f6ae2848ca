#include "profiler/method_plan.h"

#include <algorithm>

#include "outputs/input_error.h"
#include "profiler/plan_inputs.h"
#include "runtime/eviction_policy.h"

namespace headscope::profiler {
namespace {

// The runtime method whose budgets the allocator makes.
const runtime::EvictionPolicy& policy_of(const std::string& allocator) {
  const std::span<const runtime::EvictionPolicy> policies = runtime::eviction_policies();
  for (const runtime::EvictionPolicy& policy : policies) {
    if (policy.name == allocator) return policy;
  }
  for (const runtime::EvictionPolicy& policy : policies) {
    if (policy.allocator == allocator && allocator != "uniform") return policy;
  }
  return runtime::find_policy("compresskv");
}

const runtime::EvictionPolicy& policy_for(const std::string& allocator,
                                          const MethodOptions& options) {
  if (options.eviction.empty()) return policy_of(allocator);
  const runtime::EvictionPolicy& policy = runtime::find_policy(options.eviction, "--eviction");
  if (!policy.evicts) throw InputError("--eviction", "a method that evicts", options.eviction);
  return policy;
}

// Window methods take the user's window and pooling, the others their own.
SelectionOptions selection_for(const runtime::EvictionPolicy& policy,
                               const MethodOptions& options) {
  SelectionOptions selection = options.published_settings ? policy.published
                               : policy.judges_by_window  ? options.selection
                                                          : policy.defaults;
  selection.index_sets = options.selection.index_sets;
  selection.quirks = options.selection.quirks;
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

// Selector heads: per layer, or per KV head where every one of them ranks for itself.
void add_selectors(const HeadProfile& profile, const MethodOptions& options, BudgetPlan& plan) {
  Selectors selectors = options.selectors ? *options.selectors : pick_selectors(profile, options);
  plan.selector_heads = std::move(selectors.heads);
  add_notes(selectors.notes, plan);
}

BudgetPlan make_plan(const ModelIdentity& model,
                     const HeadProfile* profile,
                     const runtime::EvictionPolicy& policy,
                     const analysis::Allocator& allocator,
                     int64_t budget_tokens,
                     const MethodOptions& options) {
  analysis::AllocatorInput input =
      input_for(model, budget_tokens, selection_for(policy, options), options);
  std::vector<std::string> notes;
  if (profile != nullptr) notes = add_measurements(*profile, allocator.needs(), options, input);
  BudgetPlan plan = allocate(allocator, model, policy, input);
  add_notes(notes, plan);
  if (policy.needs_selector_heads) add_selectors(*profile, options, plan);
  return plan;
}

// What a method reads of a profile, in words; empty where it needs none.
std::string needs_in_words(const runtime::EvictionPolicy& policy,
                           const analysis::AllocatorNeeds& needs,
                           const MethodOptions& options) {
  std::vector<std::string> parts;
  if (policy.needs_selector_heads) parts.push_back("the score " + options.score);
  const std::string head_score = options.head_score.empty() ? options.score : options.head_score;
  if (needs.head_scores && (!policy.needs_selector_heads || head_score != options.score)) {
    parts.push_back("the score " + head_score);
  }
  if (needs.copy_scores) parts.emplace_back("the scores induction and echo");
  if (needs.layer_error || needs.curves) parts.emplace_back("error curves");
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " and ") + part;
  return text;
}

}  // namespace

BudgetPlan plan_from_profile(const HeadProfile& profile,
                             const std::string& allocator_name,
                             int64_t budget_tokens,
                             const MethodOptions& options) {
  const auto allocator = analysis::make_allocator(allocator_name);
  return make_plan(profile.model, &profile, policy_for(allocator_name, options), *allocator,
                   budget_tokens, options);
}

BudgetPlan plan_for_method(const std::string& method,
                           int64_t budget_tokens,
                           const ModelIdentity& model,
                           const HeadProfile* profile,
                           const MethodOptions& options) {
  const runtime::EvictionPolicy& policy = runtime::find_policy(method, "--method");
  const auto allocator = analysis::make_allocator(std::string(policy.allocator));
  if (allocator->needs().gates && options.gates.values.empty()) {
    throw InputError("--method " + method, "a plan made of gates", "no plan",
                     "Make it with headscope plan P.h5 --method gates --gates FILE, then give "
                     "--plan PLAN.");
  }
  const std::string needs = needs_in_words(policy, allocator->needs(), options);
  if (!needs.empty() && profile == nullptr) {
    throw InputError("--method " + method, "a profile with " + needs, "no profile",
                     "Give --profile P.h5.");
  }
  return make_plan(model, profile, policy, *allocator, budget_tokens, options);
}

}  // namespace headscope::profiler
