#include "profiler/cli/plan_text.h"

#include <algorithm>
#include <sstream>

#include "profiler/cli/session.h"

namespace headscope::cli {
namespace {

std::string size_of(int64_t tokens, const PlanLint& lint) {
  const std::string text = std::to_string(tokens) + " tokens";
  return lint.bytes_per_token == 0 ? text
                                   : text + " (" + human_bytes(tokens * lint.bytes_per_token) + ")";
}

std::string head_name(const KvHeadId& id) {
  return "layer " + std::to_string(id.layer) + ", KV head " + std::to_string(id.kv_head);
}

// One number for a layer whose KV heads agree, else all of them in brackets.
std::string layer_text(const std::vector<int64_t>& budgets) {
  const bool all_equal = std::all_of(budgets.begin(), budgets.end(),
                                     [&](int64_t budget) { return budget == budgets.front(); });
  if (all_equal) return std::to_string(budgets.front());
  std::string text;
  for (const int64_t budget : budgets) text += (text.empty() ? "[" : " ") + std::to_string(budget);
  return text + "]";
}

std::string use_text(const ContextUse& use, const PlanLint& lint) {
  std::ostringstream text;
  const double share = lint.nominal_tokens > 0 ? 100.0 * static_cast<double>(use.usable_tokens) /
                                                     static_cast<double>(lint.nominal_tokens)
                                               : 0.0;
  text.precision(1);
  text << std::fixed << "usable at " << use.context_length
       << " tokens: " << size_of(use.usable_tokens, lint) << ", " << share << " %";
  if (use.heads_above > 0) {
    text << "; wasted: " << size_of(lint.nominal_tokens - use.usable_tokens, lint) << " in "
         << use.heads_above << " KV heads";
  }
  return text.str();
}

}  // namespace

std::string plan_text(const BudgetPlan& plan) {
  const PlanLint& lint = plan.lint;
  std::ostringstream text;
  text << plan.allocator << " budgets, applied by " << plan.method << ": "
       << size_of(lint.nominal_tokens, lint) << " in all\n"
       << "smallest: " << lint.smallest_budget << " tokens (" << head_name(lint.smallest_head)
       << "); largest: " << lint.largest_budget << " (" << head_name(lint.largest_head) << ")\n"
       << "tokens per KV head, by layer:";
  for (const std::vector<int64_t>& layer : plan.budget_tokens) text << ' ' << layer_text(layer);
  text << "\n";
  for (const ContextUse& use : lint.contexts) text << use_text(use, lint) << "\n";
  for (const std::string& note : lint.notes) text << "note: " << note << "\n";
  return text.str();
}

}  // namespace headscope::cli
