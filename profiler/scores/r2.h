// Retrieval-reasoning heads (HeadKV-R2, Fu et al., 2410.19258, Eq. 2): of the N most attended
// positions of a step, those that lie in the answer add their attention weight; N is the answer's
// length in tokens, and the first N steps count:
//   r2(h) = 1/N * sum over t = 1..N of sum over i = 1..N of a(h, t, p_i) [p_i in the answer],
// p_i the head's i-th most attended position. What the step emits does not matter. 0..1. (The paper
// then divides by the sum over all heads, which changes no order: an allocator's business.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/head_scorer.h"

namespace headscope::profiler {

class R2Scorer final : public HeadScorer {
 public:
  explicit R2Scorer(const ModelShape& shape);
  [[nodiscard]] std::string name() const override { return "r2"; }
  [[nodiscard]] int64_t top_needed(const Probe& probe) const override;
  void begin(const Probe& probe) override;
  void accumulate(const HeadReading& step) override;
  [[nodiscard]] std::vector<float> finish() override;

 private:
  std::vector<TokenSpan> answer_spans_;
  int64_t answer_length_ = 0;
  int64_t num_steps_ = 0;
  std::vector<float> sum_;  // of all layers together; NaN once a step could not be read
};

}  // namespace headscope::profiler
