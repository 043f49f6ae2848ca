#include "profiler/scores/retrieval.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace headscope::profiler {

RetrievalScorer::RetrievalScorer(const ModelShape& shape)
    : num_heads_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

int64_t RetrievalScorer::top_needed(const Probe&) const {
  return 1;
}

void RetrievalScorer::begin(const Probe& probe) {
  answer_tokens_.clear();
  for (const TokenSpan& span : probe.answer_spans) {
    for (int64_t position = span.begin; position < span.end; ++position) {
      answer_tokens_.emplace(position, probe.prompt[static_cast<size_t>(position)]);
    }
  }
  any_token_ = probe.is_control;
  hits_.assign(num_heads_, 0.0F);
}

void RetrievalScorer::accumulate(const HeadReading& step) {
  const auto stride = static_cast<size_t>(step.top_n);
  if (step.top_n < 1 || step.top_position.size() != num_heads_ * stride ||
      step.answer_mass.size() != num_heads_) {
    throw std::invalid_argument("a reading of another model's heads, or without top positions");
  }
  for (size_t head = 0; head < num_heads_; ++head) {
    if (std::isnan(step.answer_mass[head])) {
      hits_[head] = step.answer_mass[head];
      continue;
    }
    const auto attended = answer_tokens_.find(step.top_position[head * stride]);
    if (attended != answer_tokens_.end() && (any_token_ || attended->second == step.token)) {
      hits_[head] += 1.0F;
    }
  }
}

std::vector<float> RetrievalScorer::finish() {
  std::vector<float> samples = hits_;
  const auto length = static_cast<float>(std::max<size_t>(answer_tokens_.size(), 1));
  for (float& value : samples) value /= length;
  return samples;
}

}  // namespace headscope::profiler
