#include "profiler/scores/retrieval.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace headscope::profiler {

RetrievalScorer::RetrievalScorer(const ModelShape& shape)
    : num_heads_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

void RetrievalScorer::begin(const Probe& probe) {
  span_ = probe.answer_span;
  span_tokens_.assign(probe.prompt.begin() + span_.begin, probe.prompt.begin() + span_.end);
  hits_.assign(num_heads_, 0.0F);
}

void RetrievalScorer::accumulate(const HeadReading& step) {
  if (step.top_position.size() != num_heads_ || step.answer_mass.size() != num_heads_) {
    throw std::invalid_argument("a reading of another model's heads, or without top positions");
  }
  for (size_t head = 0; head < num_heads_; ++head) {
    const int64_t position = step.top_position[head];
    if (std::isnan(step.answer_mass[head])) {
      hits_[head] = step.answer_mass[head];
    } else if (position >= span_.begin && position < span_.end &&
               span_tokens_[static_cast<size_t>(position - span_.begin)] == step.token) {
      hits_[head] += 1.0F;
    }
  }
}

std::vector<float> RetrievalScorer::finish() {
  std::vector<float> samples = hits_;
  const auto length = static_cast<float>(std::max<int64_t>(span_.size(), 1));
  for (float& value : samples) value /= length;
  return samples;
}

}  // namespace headscope::profiler
