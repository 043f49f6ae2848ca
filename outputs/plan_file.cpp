#include "outputs/plan_file.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "outputs/atomic_file.h"
#include "outputs/hdf5_records.h"
#include "outputs/input_error.h"
#include "outputs/method_quirks.h"
#include "outputs/plan_json.h"

namespace headscope::outputs {
namespace {

using Rows = std::vector<std::vector<int64_t>>;

// Fills the end of a row that is shorter than the longest.
constexpr int64_t kNoHead = -1;

void write_rows(Hdf5Writer& file, const std::string& name, const Rows& rows) {
  size_t width = 0;
  for (const std::vector<int64_t>& row : rows) width = std::max(width, row.size());
  std::vector<int64_t> values;
  for (const std::vector<int64_t>& row : rows) {
    values.insert(values.end(), row.begin(), row.end());
    values.insert(values.end(), width - row.size(), kNoHead);
  }
  file.dataset(name, std::span<const int64_t>(values),
               {static_cast<int64_t>(rows.size()), static_cast<int64_t>(width)});
}

Rows read_rows(const Hdf5Reader& file, const std::string& name) {
  const std::vector<int64_t> values = file.read<int64_t>(name, {-1, -1});
  const Dims dims = file.dims(name);
  Rows rows;
  for (int64_t row = 0; row < dims[0]; ++row) {
    const auto begin = values.begin() + row * dims[1];
    rows.emplace_back(begin, begin + dims[1]);
  }
  return rows;
}

Rows read_selector_heads(const Hdf5Reader& file) {
  Rows rows = read_rows(file, "selector_heads");
  for (std::vector<int64_t>& row : rows) {
    while (!row.empty() && row.back() == kNoHead) row.pop_back();
  }
  return rows;
}

std::vector<int64_t> pair_of(const KvHeadId& id) {
  return {id.layer, id.kv_head};
}

KvHeadId read_head(const Hdf5Reader& file, const std::string& name) {
  const std::vector<int64_t> pair = file.read<int64_t>(name, {2});
  return {pair[0], pair[1]};
}

// Format 1.1; 1.0 had none of it.
void write_newer_lint(Hdf5Writer& file, const PlanLint& lint) {
  file.attribute("lint", "bytes_per_token", lint.bytes_per_token);
  const std::vector<int64_t> smallest = pair_of(lint.smallest_head);
  const std::vector<int64_t> largest = pair_of(lint.largest_head);
  file.dataset("lint/smallest_head", std::span<const int64_t>(smallest), {2});
  file.dataset("lint/largest_head", std::span<const int64_t>(largest), {2});
  std::vector<int64_t> uses;
  for (const ContextUse& use : lint.contexts) {
    uses.insert(uses.end(), {use.context_length, use.usable_tokens, use.heads_above});
  }
  file.dataset("lint/contexts", std::span<const int64_t>(uses),
               {static_cast<int64_t>(lint.contexts.size()), 3});
}

void read_newer_lint(const Hdf5Reader& file, PlanLint& lint) {
  if (!file.has_attribute("lint", "bytes_per_token")) return;
  lint.bytes_per_token = file.int_attribute("lint", "bytes_per_token");
  lint.smallest_head = read_head(file, "lint/smallest_head");
  lint.largest_head = read_head(file, "lint/largest_head");
  const std::vector<int64_t> uses = file.read<int64_t>("lint/contexts", {-1, 3});
  for (size_t i = 0; i < uses.size(); i += 3) {
    lint.contexts.push_back({uses[i], uses[i + 1], uses[i + 2]});
  }
}

void write_lint(Hdf5Writer& file, const PlanLint& lint) {
  file.group("lint");
  file.attribute("lint", "context_length", lint.context_length);
  file.attribute("lint", "nominal_tokens", lint.nominal_tokens);
  file.attribute("lint", "usable_tokens", lint.usable_tokens);
  file.attribute("lint", "smallest_budget", lint.smallest_budget);
  file.attribute("lint", "largest_budget", lint.largest_budget);
  file.dataset("lint/notes", lint.notes);
  write_newer_lint(file, lint);
}

PlanLint read_lint(const Hdf5Reader& file) {
  PlanLint lint;
  lint.context_length = file.int_attribute("lint", "context_length");
  lint.nominal_tokens = file.int_attribute("lint", "nominal_tokens");
  lint.usable_tokens = file.int_attribute("lint", "usable_tokens");
  lint.smallest_budget = file.int_attribute("lint", "smallest_budget");
  lint.largest_budget = file.int_attribute("lint", "largest_budget");
  lint.notes = file.read<std::string>("lint/notes", {-1});
  read_newer_lint(file, lint);
  return lint;
}

// Format 1.2; before it every method had its own index sets and default quirks.
void write_newer_options(Hdf5Writer& file, const SelectionOptions& selection) {
  file.attribute("options", "index_sets", index_sets_name(selection.index_sets));
  file.group("options/quirks");
  for (const Quirk& quirk : method_quirks()) {
    file.attribute("options/quirks", quirk.name, quirk_value(selection.quirks, quirk));
  }
}

void read_newer_options(const Hdf5Reader& file, SelectionOptions& selection) {
  if (!file.has_attribute("options", "index_sets")) return;
  selection.index_sets =
      index_sets_from_name(file.string_attribute("options", "index_sets"),
                           dataset_place(file.path(), "options attribute index_sets"));
  for (const Quirk& quirk : method_quirks()) {
    if (!file.has_attribute("options/quirks", quirk.name)) continue;
    set_quirk(selection.quirks, quirk, file.double_attribute("options/quirks", quirk.name),
              dataset_place(file.path(), "options/quirks"));
  }
}

BudgetPlan read_plan_hdf5(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  check_header(file, kPlanFormat);
  BudgetPlan plan;
  plan.model = read_model(file);
  plan.method = file.string_attribute("/", "method");
  plan.allocator = file.string_attribute("options", "allocator");
  plan.selection.observation_window = file.int_attribute("options", "observation_window");
  plan.selection.pooling =
      pooling_from_name(file.string_attribute("options", "pooling"),
                        dataset_place(file.path(), "options attribute pooling"));
  plan.selection.pooling_kernel = file.int_attribute("options", "pooling_kernel");
  plan.selection.num_sink_tokens = file.int_attribute("options", "num_sink_tokens");
  read_newer_options(file, plan.selection);
  plan.budget_tokens = read_rows(file, "budget_tokens");
  plan.selector_heads = read_selector_heads(file);
  plan.lint = read_lint(file);
  plan.provenance = read_provenance(file);
  check_plan(plan, path.string());
  return plan;
}

void write_plan_hdf5(const BudgetPlan& plan, const std::filesystem::path& path, bool overwrite) {
  try {
    check_plan(plan, "plan");
  } catch (const InputError& error) {
    throw std::invalid_argument(error.what());
  }
  Hdf5Writer file(path, overwrite);
  write_header(file, kPlanFormat, kPlanFormatVersion);
  file.attribute("/", "method", plan.method);
  write_model(file, plan.model);
  file.group("options");
  file.attribute("options", "allocator", plan.allocator);
  file.attribute("options", "observation_window", plan.selection.observation_window);
  file.attribute("options", "pooling", pooling_name(plan.selection.pooling));
  file.attribute("options", "pooling_kernel", plan.selection.pooling_kernel);
  file.attribute("options", "num_sink_tokens", plan.selection.num_sink_tokens);
  write_newer_options(file, plan.selection);
  write_rows(file, "budget_tokens", plan.budget_tokens);
  write_rows(file, "selector_heads", plan.selector_heads);
  write_lint(file, plan.lint);
  write_provenance(file, plan.provenance);
  file.commit();
}

}  // namespace

bool has_hdf5_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".h5" || extension == ".hdf5";
}

BudgetPlan read_plan(const std::filesystem::path& path) {
  return has_hdf5_signature(path) ? read_plan_hdf5(path) : read_plan_json(path);
}

void write_plan(const BudgetPlan& plan, const std::filesystem::path& path, bool overwrite) {
  if (has_hdf5_extension(path)) {
    write_plan_hdf5(plan, path, overwrite);
  } else {
    write_plan_json(plan, path, overwrite);
  }
}

}  // namespace headscope::outputs
