// What `headscope evaluate` measured: accuracy of compressed caches beside the full one.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope {

// What is compressed: the whole prompt, its question at its end; or the context before the question
// is known, so that budgets are the context's and the question is held on top of them.
inline constexpr const char* kQuestionAware = "question-aware";
inline constexpr const char* kQuestionAgnostic = "question-agnostic";

// Times and memory are those of runs of their own, as a user would run the method: NaN where none
// was made.
struct AnswerCost {
  double first_token_seconds = std::numeric_limits<double>::quiet_NaN();  // from the prompt's start
  // Most bytes of tensors at any moment until the first token, beyond the weights.
  double prefill_peak_bytes = std::numeric_limits<double>::quiet_NaN();
  double decode_tokens_per_second = std::numeric_limits<double>::quiet_NaN();
};

struct EvaluationRow {
  std::string task;
  std::string method;
  std::string metric;                        // "f1", …; empty in files before 1.1
  std::string compression = kQuestionAware;  // or kQuestionAgnostic
  int64_t context_length = 0;                // tokens asked for
  double retention = 1.0;     // kept share of the prompt's (or context's) bytes, asked, 0..1
  int64_t budget_tokens = 0;  // mean tokens per KV head, asked
  int64_t kv_bytes = 0;       // mean bytes held after prefill
  int64_t num_samples = 0;
  double accuracy = 0.0;  // 0..1
  double ci_low = 0.0;    // 95 % bootstrap interval over samples
  double ci_high = 0.0;
  double retention_of_full = 0.0;  // accuracy / accuracy of `full` on the same samples
  bool below_floor = false;        // the budget lies under the method's own floor
  AnswerCost cost;                 // medians over the timed samples
};

// One sample's outcome: rows are summaries of these.
struct EvaluationSample {
  std::string task, method, metric;
  std::string compression = kQuestionAware;
  int64_t context_length = 0;
  double retention = 1.0;
  int64_t sample = 0;
  double depth = std::numeric_limits<double>::quiet_NaN();  // 0..1 of the needle; NaN = not one
  double score = 0.0;                                       // 0..1
  int64_t prompt_tokens = 0;
  int64_t budget_tokens = 0;  // per KV head, asked
  int64_t kv_bytes = 0;
  std::string expected, response;
  AnswerCost cost;
};

struct Evaluation {
  ModelIdentity model;
  Provenance provenance;
  std::vector<EvaluationRow> rows;
  std::vector<EvaluationSample> samples;
};

}  // namespace headscope
