#include "outputs/curves_file.h"

#include <cmath>

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

template <typename T>
int64_t ssize(const std::vector<T>& values) {
  return static_cast<int64_t>(values.size());
}

void check_size(const std::string& place, int64_t expected, int64_t found) {
  if (expected != found) {
    throw InputError(place, std::to_string(expected) + " values", std::to_string(found));
  }
}

template <typename T>
void check_size_if_stored(const std::string& place, int64_t expected, const std::vector<T>& found) {
  if (!found.empty()) check_size(place, expected, ssize(found));
}

void check_positive(const std::string& place, const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0.0) || !std::isfinite(values[i])) {
      throw InputError(place + "[" + std::to_string(i) + "]", "a number above 0",
                       std::to_string(values[i]));
    }
  }
}

void check_budgets(const std::string& place, const std::vector<int64_t>& budgets) {
  for (size_t i = 0; i < budgets.size(); ++i) {
    if (budgets[i] < 1 || (i > 0 && budgets[i] <= budgets[i - 1])) {
      throw InputError(place, "ascending budgets of 1 token or more",
                       std::to_string(budgets[i]) + " at " + std::to_string(i));
    }
  }
}

template <typename T>
void write_if_any(Hdf5Writer& file,
                  const std::string& name,
                  const std::vector<T>& values,
                  const Dims& dims) {
  if (!values.empty()) file.dataset(name, std::span<const T>(values), dims);
}

template <typename T>
void read_if_there(const Hdf5Reader& file,
                   const std::string& name,
                   std::vector<T>& values,
                   const Dims& dims) {
  if (file.has(name)) values = file.read<T>(name, dims);
}

}  // namespace

void check_group_name(const std::string& place, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    throw InputError(place, "a name without '/'", "'" + name + "'");
  }
}

void check_curves(const ErrorCurves& curves, const ModelShape& shape, const std::string& place) {
  check_budgets(place + "/budgets", curves.budgets);
  const int64_t per_layer = shape.num_layers * ssize(curves.budgets);
  const int64_t per_head = per_layer * shape.num_kv_heads;
  const int64_t num_tasks = ssize(curves.tasks);
  check_size(place + "/samples", num_tasks * per_layer, ssize(curves.samples));
  check_size_if_stored(place + "/samples_summed", num_tasks * per_layer, curves.samples_summed);
  check_size_if_stored(place + "/task_weights", num_tasks, curves.task_weights);
  check_positive(place + "/task_weights", curves.task_weights);
  check_size(place + "/layer", per_layer, ssize(curves.layer));
  check_size(place + "/kv_head", per_head, ssize(curves.kv_head));
  check_size_if_stored(place + "/kv_head_squared", per_head, curves.kv_head_squared);
  check_size(place + "/prompt_layer", ssize(curves.prompt_task) * per_layer,
             ssize(curves.prompt_layer));
  for (const int64_t task : curves.prompt_task) {
    if (task < 0 || task >= num_tasks) {
      throw InputError(place + "/prompt_task", "a task of 0 to " + std::to_string(num_tasks - 1),
                       std::to_string(task));
    }
  }
  check_budgets(place + "/kl_budgets", curves.kl_budgets);
  check_size(place + "/prompt_kl",
             ssize(curves.prompt_task) * shape.num_layers * ssize(curves.kl_budgets),
             ssize(curves.prompt_kl));
}

void write_curves(Hdf5Writer& file,
                  const std::string& group,
                  const ErrorCurves& curves,
                  const ModelShape& shape) {
  const int64_t tasks = ssize(curves.tasks), budgets = ssize(curves.budgets);
  const Dims per_task{tasks, shape.num_layers, budgets};
  const Dims per_head{shape.num_layers, shape.num_kv_heads, budgets};
  file.dataset(group + "/budgets", std::span<const int64_t>(curves.budgets), {budgets});
  file.dataset(group + "/tasks", curves.tasks);
  file.dataset(group + "/samples", std::span<const float>(curves.samples), per_task);
  write_if_any(file, group + "/samples_summed", curves.samples_summed, per_task);
  write_if_any(file, group + "/task_weights", curves.task_weights, {tasks});
  file.dataset(group + "/layer", std::span<const float>(curves.layer), {shape.num_layers, budgets});
  file.dataset(group + "/kv_head", std::span<const float>(curves.kv_head), per_head);
  write_if_any(file, group + "/kv_head_squared", curves.kv_head_squared, per_head);
  const int64_t prompts = ssize(curves.prompt_task);
  write_if_any(file, group + "/prompt_task", curves.prompt_task, {prompts});
  write_if_any(file, group + "/prompt_layer", curves.prompt_layer,
               {prompts, shape.num_layers, budgets});
  const int64_t kl_budgets = ssize(curves.kl_budgets);
  write_if_any(file, group + "/kl_budgets", curves.kl_budgets, {kl_budgets});
  write_if_any(file, group + "/prompt_kl", curves.prompt_kl,
               {prompts, shape.num_layers, kl_budgets});
}

ErrorCurves read_curves(const Hdf5Reader& file, const std::string& group, const ModelShape& shape) {
  ErrorCurves curves;
  curves.budgets = file.read<int64_t>(group + "/budgets", {-1});
  curves.tasks = file.read<std::string>(group + "/tasks", {-1});
  const int64_t budgets = ssize(curves.budgets);
  const Dims per_task{ssize(curves.tasks), shape.num_layers, budgets};
  const Dims per_head{shape.num_layers, shape.num_kv_heads, budgets};
  curves.samples = file.read<float>(group + "/samples", per_task);
  read_if_there(file, group + "/samples_summed", curves.samples_summed, per_task);
  read_if_there(file, group + "/task_weights", curves.task_weights, {ssize(curves.tasks)});
  curves.layer = file.read<float>(group + "/layer", {shape.num_layers, budgets});
  curves.kv_head = file.read<float>(group + "/kv_head", per_head);
  read_if_there(file, group + "/kv_head_squared", curves.kv_head_squared, per_head);
  read_if_there(file, group + "/prompt_task", curves.prompt_task, {-1});
  read_if_there(file, group + "/prompt_layer", curves.prompt_layer,
                {ssize(curves.prompt_task), shape.num_layers, budgets});
  read_if_there(file, group + "/kl_budgets", curves.kl_budgets, {-1});
  read_if_there(file, group + "/prompt_kl", curves.prompt_kl,
                {ssize(curves.prompt_task), shape.num_layers, ssize(curves.kl_budgets)});
  return curves;
}

}  // namespace headscope::outputs
