// Semantic retrieval heads, bounded: the default score.
//
// CompressKV (2508.02401, Eq. 5) adds up a head's attention mass on the answer
// over the steps that emit an answer token. That grows with the answer's
// length. Here it is the mean over those steps, so 0..1, and (unless told
// otherwise) over the whole needle statement, since what gives a short answer
// its meaning is the sentence around it:
//   srh(h) = 1/|T| * sum over t in T of sum over j in A of a(h, t, j),  T =
//   steps with y_t in A.
// NaN where no step emitted a token of the span: there is nothing to average.
#pragma once

#include <string>

#include "profiler/scores/span_mass.h"

namespace headscope::profiler {

class SrhScorer final : public SpanMassScorer {
 public:
  SrhScorer(const ModelShape& shape, SpanChoice span) : SpanMassScorer(shape, span) {}
  [[nodiscard]] std::string name() const override { return "srh"; }

 protected:
  [[nodiscard]] float weight(int64_t occurrences) const override;
  [[nodiscard]] float sample(float sum, int64_t num_hits) const override;
};

}  // namespace headscope::profiler
