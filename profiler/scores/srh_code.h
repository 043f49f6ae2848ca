// Semantic retrieval heads as CompressKV's published program computes them: as
// srh_paper, but a step's mass is added once for every position of the answer
// that holds the emitted token, so that repeated tokens ("a", "in", a digit)
// weigh more. (2508.02401 and semantic_retrieval_head_detection.py.)
#pragma once

#include <string>

#include "profiler/scores/span_mass.h"

namespace headscope::profiler {

class SrhCodeScorer final : public SpanMassScorer {
 public:
  explicit SrhCodeScorer(const ModelShape& shape) : SpanMassScorer(shape, SpanChoice::kAnswer) {}
  [[nodiscard]] std::string name() const override { return "srh_code"; }

 protected:
  [[nodiscard]] float weight(int64_t occurrences) const override;
  [[nodiscard]] float sample(float sum, int64_t num_hits) const override;
};

}  // namespace headscope::profiler
