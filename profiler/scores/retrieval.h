// Retrieval heads (Wu et al., 2404.15574): 1/N for every answer step at which
// the head's most attended position lies in the answer and holds the very token
// that the step emits; N is the answer's length in tokens. 0 up to 1, above it
// where an answer is said more than once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "profiler/head_scorer.h"

namespace headscope::profiler {

class RetrievalScorer final : public HeadScorer {
 public:
  explicit RetrievalScorer(const ModelShape& shape);
  [[nodiscard]] std::string name() const override { return "retrieval"; }
  [[nodiscard]] int64_t top_needed(const Probe& probe) const override;
  void begin(const Probe& probe) override;
  void accumulate(const HeadReading& step) override;
  [[nodiscard]] std::vector<float> finish() override;

 private:
  size_t num_heads_ = 0;                      // of all layers together
  std::map<int64_t, int64_t> answer_tokens_;  // position -> id
  bool any_token_ = false;                    // a control: there is no right token
  std::vector<float> hits_;                   // NaN once a step could not be read
};

}  // namespace headscope::profiler
