// One prompt answered with the full cache, token by token: what eviction is compared with. The same
// tokens can then be fed through the prompt's cache cut to any plan.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/observer.h"
#include "outputs/budget_plan.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

struct TrajectoryOptions {
  int64_t max_answer_tokens = 32;  // decode steps at most, >= 1
  int64_t window_tokens = 8;       // longest observation window of the plans to come, >= 1
  int64_t chunk_tokens = 256;
};

// KL(P || Q) of each row in nats, P = softmax(reference), Q = softmax(logits), [rows] float64: what
// the compressed model's next-token distribution Q lacks of the full model's P.
[[nodiscard]] at::Tensor kl_divergence(const at::Tensor& reference,  // [rows, vocab]
                                       const at::Tensor& logits);    // [rows, vocab]

class AnswerTrajectory {
 public:
  // Prefills and decodes greedily to the end of the answer; `observer` watches the decode steps.
  // The first answer token's pass is always run, also where it is an end token.
  AnswerTrajectory(const MeasuredModel& model,
                   const TaskSample& sample,
                   const TrajectoryOptions& options,
                   model::Observer* observer = nullptr);

  // Prompt and answer, until divergence() cuts the answer off.
  [[nodiscard]] const runtime::FullKvCache& cache() const { return cache_; }
  // The tokens that were fed, [R]: the logits of their passes are what is compared.
  [[nodiscard]] const std::vector<int64_t>& tokens() const { return tokens_; }

  // Mean KL divergence per answer token, full cache against the prompt's cache compressed by
  // `plan`, both fed tokens() (teacher forcing). A plan under which nothing is evicted gives
  // exactly 0.
  [[nodiscard]] double divergence(const BudgetPlan& plan);

 private:
  [[nodiscard]] at::Tensor logits_of(runtime::KvCache& cache) const;  // [R, vocab]

  const MeasuredModel& model_;
  int64_t prompt_tokens_ = 0;
  runtime::FullKvCache cache_;
  std::vector<int64_t> tokens_;
  at::Tensor reference_;  // [R, vocab] float32; undefined = not computed yet
};

}  // namespace headscope::profiler
