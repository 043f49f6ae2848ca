// The rows of an evaluation for people and for programs.
#pragma once

#include <string>

#include "outputs/evaluation.h"
#include "profiler/cli/session.h"

namespace headscope::cli {

// Every field of every row.
[[nodiscard]] Json rows_json(const Evaluation& evaluation);

// A line a row, under a line that says how prompts were compressed, with notes on what is marked.
[[nodiscard]] std::string rows_text(const Evaluation& evaluation);

// Markdown: for every task and context a table of accuracies with intervals, methods down and sizes
// across, and one of what the methods cost. Captions say metric, compression and samples.
[[nodiscard]] std::string rows_markdown(const Evaluation& evaluation);

}  // namespace headscope::cli
