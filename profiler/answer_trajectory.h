// One prompt answered with the full cache, token by token: what eviction is compared with. The same
// tokens can then be fed through the prompt's cache cut to any plan.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/observer.h"
#include "outputs/budget_plan.h"
#include "profiler/greedy_answer.h"
#include "profiler/measured_model.h"
#include "profiler/task.h"
#include "runtime/full_kv_cache.h"
#include "runtime/ragged_kv_cache.h"

namespace headscope::profiler {

struct TrajectoryOptions {
  int64_t max_answer_tokens = 32;  // decode steps at most, >= 1
  int64_t window_tokens = 8;       // longest observation window of the plans to come, >= 1
  int64_t chunk_tokens = 256;
  bool sums_attention = false;  // whether such a plan asks for it (runtime::full_cache_options)
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

  // Prompt and answer, until one of the calls below cuts the answer off.
  [[nodiscard]] const runtime::FullKvCache& cache() const { return cache_; }
  // The tokens that were fed, [R]: the logits of their passes are what is compared.
  [[nodiscard]] const std::vector<int64_t>& tokens() const { return tokens_; }

  // The prompt's cache cut to `plan`.
  [[nodiscard]] std::unique_ptr<runtime::RaggedKvCache> compressed(const BudgetPlan& plan);

  // Mean KL divergence per answer token, full cache against `compressed`, both fed tokens()
  // (teacher forcing). A cache of which nothing was evicted gives exactly 0. Both are left as they
  // were after the prompt.
  [[nodiscard]] double divergence(runtime::RaggedKvCache& compressed);

  // Greedy answer of the full cache, or of `compressed`, which holds the answer afterwards.
  [[nodiscard]] std::string answer(const AnswerLimits& limits);
  [[nodiscard]] std::string answer(runtime::RaggedKvCache& compressed,
                                   const AnswerLimits& limits) const;

 private:
  [[nodiscard]] at::Tensor logits_of(runtime::KvCache& cache) const;  // [R, vocab]

  const MeasuredModel& model_;
  int64_t prompt_tokens_ = 0;
  runtime::FullKvCache cache_;
  std::vector<int64_t> tokens_;
  at::Tensor reference_;  // [R, vocab] float32; undefined = not computed yet
};

}  // namespace headscope::profiler
