#include "profiler/answer_trajectory.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/rotary.h"
#include "runtime/compressor.h"

namespace headscope::profiler {

at::Tensor kl_divergence(const at::Tensor& reference, const at::Tensor& logits) {
  const at::Tensor p = reference.to(at::kDouble).log_softmax(/*dim=*/-1);
  const at::Tensor q = logits.to(at::kDouble).log_softmax(/*dim=*/-1);
  return (p.exp() * (p - q)).sum(/*dim=*/-1).clamp_min(0.0);
}

AnswerTrajectory::AnswerTrajectory(const MeasuredModel& model,
                                   const TaskSample& sample,
                                   const TrajectoryOptions& options,
                                   model::Observer* observer)
    : model_(model),
      prompt_tokens_(static_cast<int64_t>(sample.prompt.size())),
      cache_(model.identity.shape.num_layers,
             {.reserve_tokens = prompt_tokens_ + options.max_answer_tokens,
              .window_tokens = std::max<int64_t>(1, options.window_tokens),
              .sums_attention = options.sums_attention}) {
  int64_t next = greedy_choice(
      model.decoder.prefill(sample.prompt, cache_, {.chunk_tokens = options.chunk_tokens}));
  const auto feed = [&] {
    tokens_.push_back(next);
    next = greedy_choice(
        model.decoder.forward(at::full({1, 1}, next, at::kLong), cache_, {.observer = observer}));
  };
  feed();
  AnswerEnd answer(model, {.max_tokens = options.max_answer_tokens, .stop_at_newline = false});
  const int64_t last_position = model::position_limit(model.decoder.config());
  while (static_cast<int64_t>(tokens_.size()) < options.max_answer_tokens && answer.take(next) &&
         cache_.next_position() < last_position) {
    feed();
  }
}

at::Tensor AnswerTrajectory::logits_of(runtime::KvCache& cache) const {
  return model_.decoder.forward(at::tensor(tokens_, at::kLong).unsqueeze(0), cache,
                                {.logits = model::LogitRows::kAll})[0];
}

std::unique_ptr<runtime::RaggedKvCache> AnswerTrajectory::compressed(const BudgetPlan& plan) {
  cache_.truncate(prompt_tokens_);
  return runtime::compress(cache_, plan);
}

double AnswerTrajectory::divergence(runtime::RaggedKvCache& compressed) {
  if (!reference_.defined()) {
    // Fed in one pass, as the compressed caches are: equal caches then give equal logits.
    cache_.truncate(prompt_tokens_);
    reference_ = logits_of(cache_);
    cache_.truncate(prompt_tokens_);
  }
  const at::Tensor logits = logits_of(compressed);
  compressed.truncate(prompt_tokens_);
  return kl_divergence(reference_, logits).mean().item<double>();
}

std::string AnswerTrajectory::answer(const AnswerLimits& limits) {
  cache_.truncate(prompt_tokens_);
  const std::string text = decode_greedily(model_, cache_, tokens_.front(), limits).text();
  cache_.truncate(prompt_tokens_);
  return text;
}

std::string AnswerTrajectory::answer(runtime::RaggedKvCache& compressed,
                                     const AnswerLimits& limits) const {
  return decode_greedily(model_, compressed, tokens_.front(), limits).text();
}

}  // namespace headscope::profiler
