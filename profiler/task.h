// One graded question: of a synthetic family, for calibration and evaluation, or of a task file of
// the user's, for evaluation alone. Families hold nothing of any published evaluation set.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace headscope::profiler {

// How a response is graded, 0..1, against the best of the accepted answers unless said otherwise
// (answer_metrics.h, longbench_metrics.h).
enum class Metric {
  kContains,        // 1 where the response holds the answer (ASCII case ignored), else 0
  kContainsAll,     // share of all accepted answers that the response holds (RULER)
  kExactMatch,      // 1 where both are equal once normalised
  kRouge1Recall,    // share of the answer's words that the response holds
  kF1,              // token F1
  kRougeL,          // ROUGE-L F
  kEditSimilarity,  // of the first line of code
  kClassification,  // the right one of the sample's classes, and no other, is named
  kCount,           // share of the response's numbers that are the answer
  kRetrieval,       // share of the response's numbers that name the answer's paragraph
};

struct TaskSample {
  std::string task;  // family name ("needle", "qa"), or what the task file says
  int64_t sample = 0;
  int64_t context_length = 0;   // tokens of the whole prompt, as asked
  std::vector<int64_t> prompt;  // ids, template included
  // Tokens of the prompt before the question: what a compression that does not know the question
  // may look at. 1 .. prompt.size() - 1; 0 = not known.
  int64_t context_tokens = 0;
  std::vector<std::string> accepted;  // right answers
  Metric metric = Metric::kContains;
  std::vector<std::string> classes;  // of kClassification
  bool grades_first_line = false;    // nothing after the response's first line counts
  int64_t max_new_tokens = 32;
  bool stop_at_newline = true;  // once something other than whitespace was said
  double depth = std::numeric_limits<double>::quiet_NaN();  // 0..1, asked; NaN = several or none
};

// "contains", "contains-all", "exact-match", "rouge-1", "f1", "rouge-l", "edit-similarity",
// "classification", "count", "retrieval".
[[nodiscard]] std::string name_of(Metric metric);

// The metric of that name; `where` opens the InputError for an unknown one.
[[nodiscard]] Metric metric_from_name(const std::string& name, const std::string& where);

}  // namespace headscope::profiler
