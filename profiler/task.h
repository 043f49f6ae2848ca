// One graded question of a synthetic task family, for calibration and evaluation. Families hold
// nothing of any published evaluation set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace headscope::profiler {

enum class Metric {
  kContains,    // 1 when the response contains an accepted answer (case-insensitive), else 0
  kF1,          // token F1 against the best accepted answer, as LongBench's qa_f1_score
  kRougeL,      // ROUGE-L F
  kEditSimilarity,  // 1 - normalised edit distance, first line
};

struct TaskSample {
  std::string task;                   // family name: "needle", "qa", "few-shot", "summary", "code"
  int64_t sample = 0;
  int64_t context_length = 0;         // tokens of the whole prompt, as asked
  std::vector<int64_t> prompt;        // ids, template included
  std::vector<std::string> accepted;  // right answers
  Metric metric = Metric::kContains;
  int64_t max_new_tokens = 32;
};

}  // namespace headscope::profiler
