// What methods keep of the full cache's score over all tasks of an evaluation.
#pragma once

#include <string>

#include "outputs/evaluation.h"

namespace headscope::cli {

// A Markdown table per context length: the mean over tasks of each method's score at each size, and
// its share of the full cache's mean. Every task weighs the same; "-" where a task lacks the size.
// Nothing for a length with a single task.
[[nodiscard]] std::string averages_markdown(const Evaluation& evaluation);

}  // namespace headscope::cli
