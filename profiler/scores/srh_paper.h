// Semantic retrieval heads as CompressKV's paper has them (2508.02401, Eq. 5):
// the sum over answer steps of 1[y_t in A] times the attention mass on the
// answer A. Not divided by anything, so 0 up to the number of steps; 0 where no
// step emitted a token of the answer.
#pragma once

#include <string>

#include "profiler/scores/span_mass.h"

namespace headscope::profiler {

class SrhPaperScorer final : public SpanMassScorer {
 public:
  explicit SrhPaperScorer(const ModelShape& shape) : SpanMassScorer(shape, SpanChoice::kAnswer) {}
  [[nodiscard]] std::string name() const override { return "srh_paper"; }

 protected:
  [[nodiscard]] float weight(int64_t occurrences) const override;
  [[nodiscard]] float sample(float sum, int64_t num_hits) const override;
};

}  // namespace headscope::profiler
