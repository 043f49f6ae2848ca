#include "profiler/scores/r2.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace headscope::profiler {
namespace {

int64_t total_size(const std::vector<TokenSpan>& spans) {
  int64_t size = 0;
  for (const TokenSpan& span : spans) size += span.size();
  return size;
}

}  // namespace

R2Scorer::R2Scorer(const ModelShape& shape)
    : sum_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

int64_t R2Scorer::top_needed(const Probe& probe) const {
  return total_size(probe.answer_spans);
}

void R2Scorer::begin(const Probe& probe) {
  answer_spans_ = probe.answer_spans;
  answer_length_ = total_size(answer_spans_);
  num_steps_ = 0;
  std::fill(sum_.begin(), sum_.end(), 0.0F);
}

void R2Scorer::accumulate(const HeadReading& step) {
  const auto stride = static_cast<size_t>(step.top_n);
  if (step.top_n < answer_length_ || step.top_position.size() != sum_.size() * stride ||
      step.top_weight.size() != step.top_position.size()) {
    throw std::invalid_argument("a reading of another model's heads, or of too few top positions");
  }
  if (num_steps_++ >= answer_length_) return;
  for (size_t head = 0; head < sum_.size(); ++head) {
    for (size_t i = head * stride; i < head * stride + static_cast<size_t>(answer_length_); ++i) {
      const int64_t position = step.top_position[i];
      const bool in_answer = std::any_of(
          answer_spans_.begin(), answer_spans_.end(),
          [&](const TokenSpan& span) { return position >= span.begin && position < span.end; });
      if (in_answer || std::isnan(step.top_weight[i])) sum_[head] += step.top_weight[i];
    }
  }
}

std::vector<float> R2Scorer::finish() {
  std::vector<float> samples = sum_;
  for (float& value : samples) value /= static_cast<float>(std::max<int64_t>(answer_length_, 1));
  return samples;
}

}  // namespace headscope::profiler
