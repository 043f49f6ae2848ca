#include "outputs/plan_json.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"
#include "outputs/json_records.h"
#include "outputs/method_quirks.h"

namespace headscope::outputs {
namespace {

using nlohmann::ordered_json;

// Those that differ from their defaults: a plan of one method need not list the others' options.
ordered_json quirks_to_json(const MethodQuirks& quirks) {
  ordered_json json = ordered_json::object();
  for (const Quirk& quirk : method_quirks()) {
    const double value = quirk_value(quirks, quirk);
    if (value == quirk_value(MethodQuirks{}, quirk)) continue;
    if (std::holds_alternative<bool MethodQuirks::*>(quirk.member)) {
      json[quirk.name] = value != 0.0;
    } else if (std::holds_alternative<int64_t MethodQuirks::*>(quirk.member)) {
      json[quirk.name] = static_cast<int64_t>(value);
    } else {
      json[quirk.name] = value;
    }
  }
  return json;
}

// Format 1.2; before it every method had its own index sets and default quirks.
void newer_options_from_json(const JsonField& field, SelectionOptions& selection) {
  if (field.has("index_sets")) {
    const JsonField sets = field.at("index_sets");
    selection.index_sets = index_sets_from_name(sets.text(), sets.where());
  }
  if (!field.has("quirks")) return;
  const JsonField quirks = field.at("quirks");
  for (const Quirk& quirk : method_quirks()) {
    if (!quirks.has(quirk.name)) continue;
    const JsonField value = quirks.at(quirk.name);
    const bool is_flag = std::holds_alternative<bool MethodQuirks::*>(quirk.member);
    set_quirk(selection.quirks, quirk,
              is_flag ? static_cast<double>(value.boolean()) : value.number(), quirks.where());
  }
}

ordered_json options_to_json(const BudgetPlan& plan) {
  return ordered_json{{"allocator", plan.allocator},
                      {"observation_window", plan.selection.observation_window},
                      {"pooling", pooling_name(plan.selection.pooling)},
                      {"pooling_kernel", plan.selection.pooling_kernel},
                      {"num_sink_tokens", plan.selection.num_sink_tokens},
                      {"index_sets", index_sets_name(plan.selection.index_sets)},
                      {"quirks", quirks_to_json(plan.selection.quirks)}};
}

ordered_json uses_to_json(const PlanLint& lint) {
  ordered_json uses = ordered_json::array();
  for (const ContextUse& use : lint.contexts) {
    uses.push_back({{"context_length", use.context_length},
                    {"usable_tokens", use.usable_tokens},
                    {"usable_bytes", use.usable_tokens * lint.bytes_per_token},
                    {"wasted_tokens", lint.nominal_tokens - use.usable_tokens},
                    {"heads_above", use.heads_above}});
  }
  return uses;
}

void options_from_json(const JsonField& field, BudgetPlan& plan) {
  if (field.has("allocator")) plan.allocator = field.at("allocator").text();
  plan.selection.observation_window = field.at("observation_window").integer();
  const JsonField pooling = field.at("pooling");
  plan.selection.pooling = pooling_from_name(pooling.text(), pooling.where());
  plan.selection.pooling_kernel = field.at("pooling_kernel").integer();
  plan.selection.num_sink_tokens = field.at("num_sink_tokens").integer();
  newer_options_from_json(field, plan.selection);
}

ordered_json head_to_json(const KvHeadId& id) {
  return ordered_json::array({id.layer, id.kv_head});
}

KvHeadId head_from_json(const JsonField& field) {
  const std::vector<int64_t> pair = field.integers();
  if (pair.size() != 2) throw InputError(field.where(), "a layer and a KV head", field.describe());
  return {pair[0], pair[1]};
}

// Format 1.1; 1.0 had none of it.
void newer_lint_from_json(const JsonField& field, PlanLint& lint) {
  if (field.has("bytes_per_token")) lint.bytes_per_token = field.at("bytes_per_token").integer(0);
  if (field.has("smallest_head")) lint.smallest_head = head_from_json(field.at("smallest_head"));
  if (field.has("largest_head")) lint.largest_head = head_from_json(field.at("largest_head"));
  if (!field.has("contexts")) return;
  for (const JsonField& use : field.at("contexts").items()) {
    lint.contexts.push_back({.context_length = use.at("context_length").integer(0),
                             .usable_tokens = use.at("usable_tokens").integer(0),
                             .heads_above = use.at("heads_above").integer(0)});
  }
}

PlanLint lint_from_json(const JsonField& field) {
  PlanLint lint;
  lint.context_length = field.at("context_length").integer(0);
  lint.nominal_tokens = field.at("nominal_tokens").integer(0);
  lint.usable_tokens = field.at("usable_tokens").integer(0);
  lint.smallest_budget = field.at("smallest_budget").integer(0);
  lint.largest_budget = field.at("largest_budget").integer(0);
  for (const JsonField& note : field.at("notes").items()) lint.notes.push_back(note.text());
  newer_lint_from_json(field, lint);
  return lint;
}

std::vector<std::vector<int64_t>> rows_from_json(const JsonField& field) {
  std::vector<std::vector<int64_t>> rows;
  for (const JsonField& row : field.items()) rows.push_back(row.integers());
  return rows;
}

}  // namespace

nlohmann::ordered_json lint_to_json(const PlanLint& lint) {
  return ordered_json{{"context_length", lint.context_length},
                      {"nominal_tokens", lint.nominal_tokens},
                      {"usable_tokens", lint.usable_tokens},
                      {"smallest_budget", lint.smallest_budget},
                      {"largest_budget", lint.largest_budget},
                      {"smallest_head", head_to_json(lint.smallest_head)},
                      {"largest_head", head_to_json(lint.largest_head)},
                      {"bytes_per_token", lint.bytes_per_token},
                      {"nominal_bytes", lint.nominal_tokens * lint.bytes_per_token},
                      {"usable_bytes", lint.usable_tokens * lint.bytes_per_token},
                      {"contexts", uses_to_json(lint)},
                      {"notes", lint.notes}};
}

BudgetPlan plan_from_json(const std::string& text, const std::string& where) {
  const nlohmann::json parsed = parse_json(text, where);
  const JsonField root(parsed, where);
  check_json_header(root, kPlanFormat);
  BudgetPlan plan;
  plan.model = model_from_json(root.at("model"));
  plan.method = root.at("method").text();
  options_from_json(root.at("options"), plan);
  plan.budget_tokens = rows_from_json(root.at("budget_tokens"));
  plan.selector_heads = rows_from_json(root.at("selector_heads"));
  // A plan written by hand need not say how it came to be.
  if (root.has("provenance")) plan.provenance = provenance_from_json(root.at("provenance"));
  if (root.has("lint")) plan.lint = lint_from_json(root.at("lint"));
  check_plan(plan, where);
  return plan;
}

BudgetPlan read_plan_json(const std::filesystem::path& path) {
  return plan_from_json(read_file(path), path.string());
}

std::string plan_to_json(const BudgetPlan& plan) {
  try {
    check_plan(plan, "plan");
  } catch (const InputError& error) {
    throw std::invalid_argument(error.what());
  }
  return to_readable_json(ordered_json{{"format", kPlanFormat},
                                       {"format_version", kPlanFormatVersion},
                                       {"model", model_to_json(plan.model)},
                                       {"method", plan.method},
                                       {"options", options_to_json(plan)},
                                       {"budget_tokens", plan.budget_tokens},
                                       {"selector_heads", plan.selector_heads},
                                       {"provenance", provenance_to_json(plan.provenance)},
                                       {"lint", lint_to_json(plan.lint)}});
}

void write_plan_json(const BudgetPlan& plan, const std::filesystem::path& path, bool overwrite) {
  write_file_atomically(path, plan_to_json(plan), overwrite);
}

}  // namespace headscope::outputs
