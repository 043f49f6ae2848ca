// Echo heads (RazorAttention, 2407.15891): attention from a token to earlier copies of itself, in
// random tokens that repeat with period P (2500 random tokens four times in the paper):
//   echo(h) = mean over rows i of the second repetition on of sum over m >= 1 of a(h, i, i - m P),
// m as far back as the first repetition. 0..1. One reading per probe of repeated tokens
// (profiler/repeat_reader.h); other probes have no sample.
#pragma once

#include <string>

#include "profiler/scores/mean_mass.h"

namespace headscope::profiler {

class EchoScorer final : public MeanMassScorer {
 public:
  explicit EchoScorer(const ModelShape& shape) : MeanMassScorer(shape, &HeadReading::echo_mass) {}
  [[nodiscard]] std::string name() const override { return "echo"; }
  [[nodiscard]] ScoreSource source() const override { return ScoreSource::kRepeatedTokens; }
};

}  // namespace headscope::profiler
