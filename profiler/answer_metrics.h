// How right an answer is, 0..1, in the measures the papers use.
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

// Token F1 as LongBench's qa_f1_score (arXiv 2308.14508): lower case, ASCII punctuation and the
// articles a, an, the dropped, split at whitespace.
[[nodiscard]] double token_f1(const std::string& answer, const std::string& response);

// F-measure of the longest common subsequence of words (ROUGE-L, Lin 2004).
[[nodiscard]] double rouge_l(const std::string& answer, const std::string& response);

// 1 - edit distance / longer length, of the first non-empty lines, in bytes.
[[nodiscard]] double edit_similarity(const std::string& answer, const std::string& response);

// The sample's own metric against the best of its accepted answers.
[[nodiscard]] double grade_response(const TaskSample& sample, const std::string& response);

}  // namespace headscope::profiler
