// How much a head looks at what it has just read (the local window of StreamingLLM, 2309.17453, and
// of the streaming heads of DuoAttention, 2410.10819). Mean over all answer steps of the mass on
// the last 64 tokens, the step's own among them, 0..1. Not a retrieval score: it says what else a
// selected head serves.
#pragma once

#include <string>

#include "profiler/scores/mean_mass.h"

namespace headscope::profiler {

class RecencyScorer final : public MeanMassScorer {
 public:
  explicit RecencyScorer(const ModelShape& shape)
      : MeanMassScorer(shape, &HeadReading::recent_mass) {}
  [[nodiscard]] std::string name() const override { return "recency"; }
  [[nodiscard]] bool needs_ends() const override { return true; }
};

}  // namespace headscope::profiler
