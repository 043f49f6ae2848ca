#include "analysis/plan_lint.h"

#include <algorithm>
#include <string>

namespace headscope::analysis {
namespace {

using Budgets = std::vector<std::vector<int64_t>>;

void measure_sizes(const Budgets& budget_tokens, PlanLint& lint) {
  bool is_first = true;
  for (size_t layer = 0; layer < budget_tokens.size(); ++layer) {
    for (size_t head = 0; head < budget_tokens[layer].size(); ++head) {
      const int64_t budget = budget_tokens[layer][head];
      const KvHeadId id{static_cast<int64_t>(layer), static_cast<int64_t>(head)};
      lint.nominal_tokens += budget;
      if (is_first || budget < lint.smallest_budget) {
        lint.smallest_budget = budget;
        lint.smallest_head = id;
      }
      if (is_first || budget > lint.largest_budget) {
        lint.largest_budget = budget;
        lint.largest_head = id;
      }
      is_first = false;
    }
  }
}

ContextUse use_at(const Budgets& budget_tokens, int64_t context_length) {
  ContextUse use{.context_length = context_length, .usable_tokens = 0, .heads_above = 0};
  for (const std::vector<int64_t>& layer : budget_tokens) {
    for (const int64_t budget : layer) {
      use.usable_tokens += std::min(budget, context_length);
      use.heads_above += budget > context_length ? 1 : 0;
    }
  }
  return use;
}

}  // namespace

PlanLint lint_budgets(const Budgets& budget_tokens,
                      const std::vector<int64_t>& contexts,
                      int64_t bytes_per_token) {
  PlanLint lint;
  lint.bytes_per_token = bytes_per_token;
  measure_sizes(budget_tokens, lint);
  lint.usable_tokens = lint.nominal_tokens;
  size_t num_heads = 0;
  for (const std::vector<int64_t>& layer : budget_tokens) num_heads += layer.size();
  for (const int64_t context : contexts) {
    const ContextUse use = use_at(budget_tokens, context);
    if (lint.contexts.empty()) {
      lint.context_length = context;
      lint.usable_tokens = use.usable_tokens;
    }
    lint.contexts.push_back(use);
    if (use.heads_above > 0) {
      lint.notes.push_back(std::to_string(use.heads_above) + " of " + std::to_string(num_heads) +
                           " KV heads have a budget above the context length of " +
                           std::to_string(context) + " tokens; " +
                           std::to_string(lint.nominal_tokens - use.usable_tokens) + " of " +
                           std::to_string(lint.nominal_tokens) + " tokens cannot be used");
    }
  }
  return lint;
}

}  // namespace headscope::analysis
