#include "profiler/scores/span_mass.h"

#include <algorithm>
#include <stdexcept>

namespace headscope::profiler {

SpanMassScorer::SpanMassScorer(const ModelShape& shape, SpanChoice span)
    : span_(span), num_heads_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

void SpanMassScorer::begin(const Probe& probe) {
  span_tokens_.clear();
  for (const TokenSpan& span :
       span_ == SpanChoice::kNeedle ? probe.needle_spans : probe.answer_spans) {
    span_tokens_.insert(span_tokens_.end(), probe.prompt.begin() + span.begin,
                        probe.prompt.begin() + span.end);
  }
  every_step_ = probe.is_control;
  sum_.assign(num_heads_, 0.0F);
  num_hits_ = 0;
}

void SpanMassScorer::accumulate(const HeadReading& step) {
  const std::vector<float>& mass =
      span_ == SpanChoice::kNeedle ? step.needle_mass : step.answer_mass;
  if (mass.size() != num_heads_) throw std::invalid_argument("a reading of another model's heads");
  const int64_t occurrences =
      every_step_ ? 1 : std::count(span_tokens_.begin(), span_tokens_.end(), step.token);
  num_hits_ += occurrences > 0 ? 1 : 0;
  // A step without a hit weighs nothing, but 0 * NaN still marks a head that could not be read.
  const float factor = occurrences > 0 ? weight(occurrences) : 0.0F;
  for (size_t head = 0; head < num_heads_; ++head) sum_[head] += factor * mass[head];
}

std::vector<float> SpanMassScorer::finish() {
  std::vector<float> samples(num_heads_);
  for (size_t head = 0; head < num_heads_; ++head) samples[head] = sample(sum_[head], num_hits_);
  return samples;
}

}  // namespace headscope::profiler
