// How right an answer is, 0..1: the measures of needle tests, and a sample's own metric.
// LongBench's measures are in longbench_metrics.h.
#pragma once

#include <string>
#include <vector>

#include "profiler/task.h"

namespace headscope::profiler {

// Share of the answer's words (with repeats) that the response holds: ROUGE-1 recall (Lin 2004).
// Words are runs of [a-z0-9] after lower-casing, without stemming; where an answer has no such word
// (other scripts) runs of non-ASCII characters count as words. An answer without words gives 0.
// The success gate of arXiv 2404.15574 is a value above 0.5.
[[nodiscard]] double rouge1_recall(const std::string& answer, const std::string& response);

// 1 where the response holds the answer (ASCII case ignored, runs of whitespace equal), else 0.
[[nodiscard]] double contains_answer(const std::string& answer, const std::string& response);

// Share of the answers that the response holds, as contains_answer: RULER's string_match_all
// (arXiv 2404.06654). 0 where there are none.
[[nodiscard]] double contains_all(const std::vector<std::string>& answers,
                                  const std::string& response);

// The sample's own metric, against the best of its accepted answers where that makes sense.
[[nodiscard]] double grade_response(const TaskSample& sample, const std::string& response);

}  // namespace headscope::profiler
