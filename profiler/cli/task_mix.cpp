#include "profiler/cli/task_mix.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"
#include "profiler/option_check.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {

profiler::TaskMix read_task_mix(const std::string& path) {
  const nlohmann::json json = outputs::parse_json(outputs::read_file(path), path);
  const std::vector<std::string> known = profiler::task_names();
  profiler::TaskMix mix;
  for (const auto& [task, weight] : outputs::JsonField(json, path).members()) {
    if (std::find(known.begin(), known.end(), task) == known.end()) {
      throw InputError(path, "tasks among " + profiler::join_values(known), task);
    }
    mix[task] = weight.number();
    if (!(mix[task] > 0.0)) {
      throw InputError(weight.where(), "a weight above 0", std::to_string(mix[task]),
                       "Leave out a task that should not count.");
    }
  }
  if (mix.empty()) throw InputError(path, "at least one task", "none");
  return mix;
}

}  // namespace headscope::cli
