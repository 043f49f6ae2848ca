#include "profiler/method_plan.h"

#include <algorithm>

#include "analysis/allocator.h"
#include "analysis/head_ranking.h"
#include "outputs/input_error.h"
#include "runtime/eviction_policy.h"

namespace headscope::profiler {
namespace {

std::string profile_place(const HeadProfile& profile) {
  return "the profile of " + profile.model.name;
}

const ErrorCurves& pick_curves(const HeadProfile& profile, const std::string& wanted) {
  if (profile.error_curves.empty()) {
    throw InputError(profile_place(profile), "eviction-error curves, which compresskv needs",
                     "none", "Run headscope calibrate on this profile first.");
  }
  if (wanted.empty() && profile.error_curves.size() == 1)
    return profile.error_curves.begin()->second;
  const auto found = profile.error_curves.find(wanted);
  if (found != profile.error_curves.end()) return found->second;
  std::string names;
  for (const auto& [name, unused] : profile.error_curves)
    names += (names.empty() ? "" : ", ") + name;
  throw InputError("error curves of " + profile_place(profile), "one of " + names,
                   wanted.empty() ? "no choice" : wanted, "Name the selector whose curves to use.");
}

std::vector<std::vector<int64_t>> pick_selector_heads(const HeadProfile& profile,
                                                      const MethodOptions& options) {
  const auto table = profile.scores.find(options.score);
  if (table == profile.scores.end()) {
    throw InputError(profile_place(profile), "the score " + options.score, "no such score",
                     "Measure it with headscope profile --scores, or name another.");
  }
  if (profile.num_successful() == 0) {
    throw InputError(profile_place(profile),
                     "successful probes, to tell retrieval heads from others",
                     "none of " + std::to_string(profile.probes.size()),
                     "Use shorter contexts or needles with an answer prefix.");
  }
  return analysis::top_heads_per_layer(
      table->second.mean, std::min(options.selector_heads, profile.model.shape.num_query_heads));
}

BudgetPlan allocate(const analysis::Allocator& allocator,
                    const ModelIdentity& model,
                    int64_t budget_tokens,
                    std::vector<double> layer_error,
                    const MethodOptions& options) {
  analysis::AllocatorInput input;
  input.shape = model.shape;
  input.budget_tokens = budget_tokens;
  input.selection = options.selection;
  input.context_length = options.context_length;
  input.min_tokens = options.min_tokens;
  input.max_tokens = options.max_tokens;
  input.layer_error = std::move(layer_error);
  analysis::Allocation allocation = allocator.allocate(input);

  BudgetPlan plan;
  plan.model = model;
  plan.allocator = allocator.name();
  plan.selection = allocation.selection;
  plan.budget_tokens = std::move(allocation.budget_tokens);
  plan.lint = std::move(allocation.lint);
  return plan;
}

}  // namespace

BudgetPlan plan_from_profile(const HeadProfile& profile,
                             const std::string& allocator_name,
                             int64_t budget_tokens,
                             const MethodOptions& options) {
  const auto allocator = analysis::make_allocator(allocator_name);
  analysis::LayerError error;
  if (allocator->needs_layer_error()) {
    analysis::LayerErrorOptions error_options;
    error_options.steps = options.error_steps;
    error = analysis::layer_error(pick_curves(profile, options.curves),
                                  profile.model.shape.num_layers, error_options);
  }
  BudgetPlan plan = allocate(*allocator, profile.model, budget_tokens, error.values, options);
  plan.method = "compresskv";
  plan.selector_heads = pick_selector_heads(profile, options);
  plan.lint.notes.insert(plan.lint.notes.end(), error.notes.begin(), error.notes.end());
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
  MethodOptions own = options;
  own.selection = policy.defaults;
  BudgetPlan plan = allocate(*analysis::make_allocator("uniform"), model, budget_tokens, {}, own);
  plan.method = method;
  return plan;
}

}  // namespace headscope::profiler
