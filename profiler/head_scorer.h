// The contract of a head score: numbers of each answer step in, one number per query head out.
//
// A step is the pass over the token before the emitted one: the attention row that emits token t
// belongs to the token in front of t. All scores of a run read the same steps, so that asking for
// four scores costs the model one pass.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "profiler/probe.h"

namespace headscope::profiler {

// One answer step, all query heads; vectors are [num_layers * num_query_heads], row-major. NaN
// marks a layer whose sliding window no longer holds the whole context.
struct HeadReading {
  int64_t token = 0;               // the id that this step emitted
  std::vector<float> needle_mass;  // attention mass on Probe::needle_spans together, 0..1
  std::vector<float> answer_mass;  // attention mass on Probe::answer_spans together, 0..1
  std::vector<float> sink_mass;    // attention mass on the first 4 tokens, 0..1
  std::vector<float> recent_mass;  // attention mass on the last 64 tokens, 0..1
  // The top_n most attended positions and their weights, best first, [heads * top_n]; empty where
  // no score needs them.
  int64_t top_n = 0;
  std::vector<int64_t> top_position;
  std::vector<float> top_weight;
  // Of a pass over repeated random tokens only, means over its rows: attention on earlier copies of
  // the row's own token, and on the tokens that followed those copies.
  std::vector<float> echo_mass;
  std::vector<float> induction_mass;
};

// What a score is read from: the answer steps of a question, or one reading of repeated random
// tokens. A score's samples are NaN for probes of the other kind.
enum class ScoreSource { kAnswerSteps, kRepeatedTokens };

// Which tokens `srh` looks at.
enum class SpanChoice { kNeedle, kAnswer };

struct ScorerOptions {
  SpanChoice srh_span = SpanChoice::kNeedle;
};

class HeadScorer {
 public:
  virtual ~HeadScorer() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual ScoreSource source() const { return ScoreSource::kAnswerSteps; }
  [[nodiscard]] virtual bool needs_top_position() const { return false; }

  // A probe: begin, one accumulate per answer step in order, finish.
  virtual void begin(const Probe& probe) = 0;
  virtual void accumulate(const HeadReading& step) = 0;
  // The probe's sample for every head, [num_layers * num_query_heads].
  [[nodiscard]] virtual std::vector<float> finish() = 0;
};

using ScorerSet = std::vector<std::unique_ptr<HeadScorer>>;

}  // namespace headscope::profiler
