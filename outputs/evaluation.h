// What `headscope evaluate` measured: accuracy of compressed caches beside the full one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope {

struct EvaluationRow {
  std::string task;
  std::string method;
  int64_t context_length = 0;  // tokens asked for
  double retention = 1.0;      // kept share of the prompt's bytes, asked, 0..1
  int64_t budget_tokens = 0;   // mean tokens per KV head
  int64_t kv_bytes = 0;        // mean bytes held after prefill
  int64_t num_samples = 0;
  double accuracy = 0.0;  // 0..1
  double ci_low = 0.0;    // 95 % bootstrap interval over samples
  double ci_high = 0.0;
  double retention_of_full = 0.0;  // accuracy / accuracy of `full` on the same samples
  bool below_floor = false;        // the budget lies under the method's own floor
};

// One sample's outcome: rows are summaries of these.
struct EvaluationSample {
  std::string task, method;
  int64_t context_length = 0;
  double retention = 1.0;
  int64_t sample = 0;
  double score = 0.0;  // 0..1
  int64_t kv_bytes = 0;
  std::string expected, response;
};

struct Evaluation {
  ModelIdentity model;
  Provenance provenance;
  std::vector<EvaluationRow> rows;
  std::vector<EvaluationSample> samples;
};

}  // namespace headscope
