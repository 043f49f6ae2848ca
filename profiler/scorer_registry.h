// Head scores by the names that the command line and the files use.
#pragma once

#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "profiler/head_scorer.h"

namespace headscope::profiler {

// Every score there is, the default first: "srh", "srh_paper", "srh_code", "retrieval", "r2",
// "echo", "induction", "sink", "recency".
[[nodiscard]] std::vector<std::string> scorer_names();

// What is measured where nobody says otherwise. For questions: every score of answer steps, which
// share one pass (beside the model's own work, the answer rows read the context's keys once more
// for the top positions, and 68 keys each for the ends). For repeated tokens: `echo` and
// `induction`. Both where the probes hold both.
[[nodiscard]] std::vector<std::string> default_scores(const std::vector<Probe>& probes);

// InputError for a name that is none of scorer_names(), or one given twice.
[[nodiscard]] ScorerSet make_scorers(const std::vector<std::string>& names,
                                     const ModelShape& shape,
                                     const ScorerOptions& options = {});

}  // namespace headscope::profiler
