// Evaluations on disk: HDF5 when the name ends in .h5 or .hdf5, else JSON; format
// "headscope.evaluation". Rows and samples round trip, so that a run can resume from its samples.
// What version 1.0 did not have yet (metric, compression, depth, tokens, cost) gets its default.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "outputs/evaluation.h"

namespace headscope::outputs {

inline constexpr const char* kEvaluationFormat = "headscope.evaluation";
inline constexpr const char* kEvaluationFormatVersion = "1.1";

// Throws InputError naming the field. Reads what the content says, whatever the name.
[[nodiscard]] Evaluation read_evaluation(const std::filesystem::path& path);
void write_evaluation(const Evaluation& evaluation,
                      const std::filesystem::path& path,
                      bool overwrite);

[[nodiscard]] Evaluation evaluation_from_json(const std::string& text, const std::string& where);
// One row as the file has it: every field by its name, costs that were not measured null.
[[nodiscard]] nlohmann::ordered_json evaluation_row_to_json(const EvaluationRow& row);
[[nodiscard]] std::string evaluation_to_json(const Evaluation& evaluation);

}  // namespace headscope::outputs
