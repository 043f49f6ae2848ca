// What makes a budget plan sound, whatever file it came in.
#include <set>

#include "outputs/file_header.h"
#include "outputs/input_error.h"
#include "outputs/method_quirks.h"
#include "outputs/model_match.h"
#include "outputs/plan_json.h"

namespace headscope::outputs {
namespace {

// Keeps every sum over layers and heads far inside int64_t.
constexpr int64_t kMostTokens = int64_t{1} << 32;

std::string at(const std::string& where, const std::string& field) {
  return where + ": " + field;
}

std::string at(const std::string& where, const std::string& field, size_t layer) {
  return at(where, field) + "[" + std::to_string(layer) + "]";
}

void check_rows(const std::string& place, size_t found, int64_t num_layers) {
  if (static_cast<int64_t>(found) != num_layers) {
    throw InputError(place, std::to_string(num_layers) + " rows, one per layer",
                     std::to_string(found));
  }
}

void check_budgets(const BudgetPlan& plan, const std::string& where) {
  check_rows(at(where, "budget_tokens"), plan.budget_tokens.size(), plan.model.shape.num_layers);
  const int64_t num_kv_heads = plan.model.shape.num_kv_heads;
  for (size_t layer = 0; layer < plan.budget_tokens.size(); ++layer) {
    const std::vector<int64_t>& row = plan.budget_tokens[layer];
    if (static_cast<int64_t>(row.size()) != num_kv_heads) {
      throw InputError(at(where, "budget_tokens", layer),
                       std::to_string(num_kv_heads) + " numbers, one per KV head",
                       std::to_string(row.size()));
    }
    for (const int64_t budget : row) {
      if (budget < 0 || budget > kMostTokens) {
        throw InputError(at(where, "budget_tokens", layer),
                         "budgets of 0 to " + std::to_string(kMostTokens) + " tokens",
                         std::to_string(budget));
      }
    }
  }
}

void check_selector_row(const BudgetPlan& plan, const std::string& place, size_t layer) {
  const std::vector<int64_t>& row = plan.selector_heads[layer];
  if (row.empty()) throw InputError(place, "at least one query head", "none");
  std::set<int64_t> seen;
  for (const int64_t head : row) {
    if (head < 0 || head >= plan.model.shape.num_query_heads) {
      throw InputError(place,
                       "query heads 0 to " + std::to_string(plan.model.shape.num_query_heads - 1),
                       std::to_string(head));
    }
    if (!seen.insert(head).second) {
      throw InputError(place, "each head once", "head " + std::to_string(head) + " twice");
    }
  }
}

void check_selection(const SelectionOptions& selection, const std::string& where) {
  if (selection.observation_window < 0) {
    throw InputError(at(where, "options: observation_window"), "0 or more tokens",
                     std::to_string(selection.observation_window));
  }
  if (selection.pooling_kernel < 1 || selection.pooling_kernel % 2 == 0) {
    throw InputError(at(where, "options: pooling_kernel"), "an odd number of tokens",
                     std::to_string(selection.pooling_kernel));
  }
  if (selection.num_sink_tokens < 0) {
    throw InputError(at(where, "options: num_sink_tokens"), "0 or more tokens",
                     std::to_string(selection.num_sink_tokens));
  }
  check_quirks(selection.quirks, at(where, "options: quirks"));
}

}  // namespace

void check_plan(const BudgetPlan& plan, const std::string& where) {
  check_shape(plan.model.shape, at(where, "model"));
  if (plan.method.empty()) throw InputError(at(where, "method"), "a method's name", "nothing");
  check_selection(plan.selection, where);
  check_budgets(plan, where);
  if (plan.selector_heads.empty()) return;
  check_rows(at(where, "selector_heads"), plan.selector_heads.size(), plan.model.shape.num_layers);
  for (size_t layer = 0; layer < plan.selector_heads.size(); ++layer) {
    check_selector_row(plan, at(where, "selector_heads", layer), layer);
  }
}

void check_plan_fits(const BudgetPlan& plan,
                     const std::string& fingerprint,
                     const ModelShape& shape,
                     bool force) {
  check_model_match("the plan's model", plan.model, ModelIdentity{"", fingerprint, shape}, force);
}

std::string pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kNone:
      return "none";
    case Pooling::kAverage:
      return "average";
    case Pooling::kMax:
      return "max";
  }
  return "none";
}

Pooling pooling_from_name(const std::string& name, const std::string& where) {
  for (const Pooling pooling : {Pooling::kNone, Pooling::kAverage, Pooling::kMax}) {
    if (pooling_name(pooling) == name) return pooling;
  }
  throw InputError(where, "\"none\", \"average\" or \"max\"", "\"" + name + "\"");
}

}  // namespace headscope::outputs
