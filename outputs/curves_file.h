// Error curves inside a profile file, one group per selector:
//
//   budgets [num_budgets], tasks [num_tasks], samples and samples_summed [num_tasks, num_layers,
//   num_budgets], layer [num_layers, num_budgets], kv_head and kv_head_squared [num_layers,
//   num_kv_heads, num_budgets], task_weights [num_tasks], prompt_task [num_prompts], prompt_layer
//   [num_prompts, num_layers, num_budgets], kl_budgets [num_kl_budgets], prompt_kl [num_prompts,
//   num_layers, num_kl_budgets].
//
// A field that is empty is not written. budgets, tasks, samples, layer and kv_head always are.
#pragma once

#include <string>

#include "outputs/hdf5_file.h"
#include "outputs/head_profile.h"

namespace headscope::outputs {

// Names of scores and selectors become groups: a slash would open another level. InputError.
void check_group_name(const std::string& place, const std::string& name);

// Throws InputError naming the dataset where a size disagrees or a number makes no sense.
void check_curves(const ErrorCurves& curves, const ModelShape& shape, const std::string& place);

void write_curves(Hdf5Writer& file,
                  const std::string& group,
                  const ErrorCurves& curves,
                  const ModelShape& shape);

// Unchecked but for the dims of each dataset: check_curves() has the rest.
[[nodiscard]] ErrorCurves read_curves(const Hdf5Reader& file,
                                      const std::string& group,
                                      const ModelShape& shape);

}  // namespace headscope::outputs
