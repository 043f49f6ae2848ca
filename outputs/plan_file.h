// Budget plans on disk: HDF5 when the name ends in .h5 or .hdf5, else JSON.
#pragma once

#include <filesystem>

#include "outputs/budget_plan.h"

namespace headscope::outputs {

// Throws InputError naming the field; reads what the content says, whatever the name.
[[nodiscard]] BudgetPlan read_plan(const std::filesystem::path& path);
void write_plan(const BudgetPlan& plan, const std::filesystem::path& path, bool overwrite);

// True for .h5 and .hdf5, in any case.
[[nodiscard]] bool has_hdf5_extension(const std::filesystem::path& path);

}  // namespace headscope::outputs
