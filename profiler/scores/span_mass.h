// What the semantic-retrieval scores share: attention mass on a span, summed
// over the answer steps with a weight that depends on how often the emitted
// token occurs in that span.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/head_scorer.h"

namespace headscope::profiler {

class SpanMassScorer : public HeadScorer {
 public:
  SpanMassScorer(const ModelShape& shape, SpanChoice span);
  void begin(const Probe& probe) override;
  void accumulate(const HeadReading& step) override;
  [[nodiscard]] std::vector<float> finish() override;

 protected:
  // `occurrences`: how many positions of the span hold the emitted token, 0 or
  // more; 1 at every step of a control.
  [[nodiscard]] virtual float weight(int64_t occurrences) const = 0;
  // From the sum over steps to the sample; `num_hits` steps emitted a token of
  // the span.
  [[nodiscard]] virtual float sample(float sum, int64_t num_hits) const = 0;

 private:
  SpanChoice span_;
  size_t num_heads_ = 0;              // of all layers together
  std::vector<int64_t> span_tokens_;  // the spans' ids
  bool every_step_ = false;           // a control: there is no right token
  std::vector<float> sum_;
  int64_t num_hits_ = 0;
};

}  // namespace headscope::profiler
