// The contract of a head score: numbers of each answer step in, one number per query head out.
//
// A step is the pass over the token before the emitted one: the attention row that emits token t
// belongs to the token in front of t. All scores of a run read the same steps, so that asking for
// four scores costs the model one pass.
#pragma once

#include <cstdint>
#include <map>
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
  // Attention mass on the first kSinkTokens tokens and on the last kRecentTokens that the row sees,
  // itself included, 0..1; empty where no score needs them.
  std::vector<float> sink_mass;
  std::vector<float> recent_mass;
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

// The ends of a context: what sink_mass and recent_mass are measured on, tokens.
inline constexpr int64_t kSinkTokens = 4;
inline constexpr int64_t kRecentTokens = 64;

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
  // What a reading must hold beside the two span masses: how many of the most attended positions
  // (0 = none), and whether the masses on the context's two ends.
  [[nodiscard]] virtual int64_t top_needed(const Probe&) const { return 0; }
  [[nodiscard]] virtual bool needs_ends() const { return false; }

  // A probe of this score's source: begin, one accumulate per answer step in order (one for a pass
  // over repeated tokens), finish. In a control probe nothing can be found: every step counts,
  // whatever it emits.
  virtual void begin(const Probe& probe) = 0;
  virtual void accumulate(const HeadReading& step) = 0;
  // The probe's sample for every head, [num_layers * num_query_heads].
  [[nodiscard]] virtual std::vector<float> finish() = 0;
};

using ScorerSet = std::vector<std::unique_ptr<HeadScorer>>;

// One probe's samples by score name, [num_layers * num_query_heads] each, from its readings in
// order. Scores of the other source get NaN: that probe has nothing to say to them.
[[nodiscard]] std::map<std::string, std::vector<float>> score_probe(
    const ScorerSet& scorers,
    const ModelShape& shape,
    const Probe& probe,
    const std::vector<HeadReading>& readings);

}  // namespace headscope::profiler
