// Attention sinks (Xiao et al., StreamingLLM, 2309.17453): how much a head looks at the context's
// first tokens while it answers. Mean over all answer steps of the mass on the first 4 tokens,
// 0..1. Not a retrieval score: it says what else a selected head serves.
#pragma once

#include <string>

#include "profiler/scores/mean_mass.h"

namespace headscope::profiler {

class SinkScorer final : public MeanMassScorer {
 public:
  explicit SinkScorer(const ModelShape& shape) : MeanMassScorer(shape, &HeadReading::sink_mass) {}
  [[nodiscard]] std::string name() const override { return "sink"; }
  [[nodiscard]] bool needs_ends() const override { return true; }
};

}  // namespace headscope::profiler
