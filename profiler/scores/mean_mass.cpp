#include "profiler/scores/mean_mass.h"

#include <algorithm>
#include <stdexcept>

namespace headscope::profiler {

MeanMassScorer::MeanMassScorer(const ModelShape& shape, std::vector<float> HeadReading::*mass)
    : mass_(mass), sum_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

void MeanMassScorer::begin(const Probe&) {
  std::fill(sum_.begin(), sum_.end(), 0.0F);
  num_steps_ = 0;
}

void MeanMassScorer::accumulate(const HeadReading& step) {
  const std::vector<float>& mass = step.*mass_;
  if (mass.size() != sum_.size()) {
    throw std::invalid_argument("a reading of another model's heads, or without this mass");
  }
  for (size_t head = 0; head < sum_.size(); ++head) sum_[head] += mass[head];
  ++num_steps_;
}

std::vector<float> MeanMassScorer::finish() {
  std::vector<float> samples = sum_;
  for (float& value : samples) value /= static_cast<float>(num_steps_);
  return samples;
}

}  // namespace headscope::profiler
