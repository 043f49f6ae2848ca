// Induction heads (Olsson et al., 2209.11895) as RazorAttention measures them (2407.15891):
// attention from a token to the tokens that followed its earlier copies, in random tokens that
// repeat with period P:
//   induction(h) = mean over rows i of the second repetition on of
//                  sum over m >= 1 of a(h, i, i - m P + 1),
// m as far back as the first repetition. 0..1. One reading per probe of repeated tokens
// (profiler/repeat_reader.h); other probes have no sample.
#pragma once

#include <string>

#include "profiler/scores/mean_mass.h"

namespace headscope::profiler {

class InductionScorer final : public MeanMassScorer {
 public:
  explicit InductionScorer(const ModelShape& shape)
      : MeanMassScorer(shape, &HeadReading::induction_mass) {}
  [[nodiscard]] std::string name() const override { return "induction"; }
  [[nodiscard]] ScoreSource source() const override { return ScoreSource::kRepeatedTokens; }
};

}  // namespace headscope::profiler
