// What `sink`, `recency`, `echo` and `induction` share: the mean over all readings of a probe of
// one of their masses.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/head_scorer.h"

namespace headscope::profiler {

class MeanMassScorer : public HeadScorer {
 public:
  MeanMassScorer(const ModelShape& shape, std::vector<float> HeadReading::*mass);
  void begin(const Probe& probe) override;
  void accumulate(const HeadReading& step) override;
  // NaN where there was no step.
  [[nodiscard]] std::vector<float> finish() override;

 private:
  std::vector<float> HeadReading::*mass_;
  std::vector<float> sum_;  // of all layers together
  int64_t num_steps_ = 0;
};

}  // namespace headscope::profiler
