// Head scores by the names that the command line and the files use.
#pragma once

#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "profiler/head_scorer.h"

namespace headscope::profiler {

// Every score there is, the default first: "srh", "srh_paper", "srh_code", "retrieval".
[[nodiscard]] std::vector<std::string> scorer_names();

// InputError for a name that is none of scorer_names(), or one given twice.
[[nodiscard]] ScorerSet make_scorers(const std::vector<std::string>& names,
                                     const ModelShape& shape,
                                     const ScorerOptions& options = {});

}  // namespace headscope::profiler
