#include <limits>

#include "profiler/head_scorer.h"

namespace headscope::profiler {

std::map<std::string, std::vector<float>> score_probe(const ScorerSet& scorers,
                                                      const ModelShape& shape,
                                                      const Probe& probe,
                                                      const std::vector<HeadReading>& readings) {
  const auto heads = static_cast<size_t>(shape.num_layers * shape.num_query_heads);
  const ScoreSource source =
      probe.repeat_period > 0 ? ScoreSource::kRepeatedTokens : ScoreSource::kAnswerSteps;
  std::map<std::string, std::vector<float>> samples;
  for (const auto& scorer : scorers) {
    std::vector<float>& of_score = samples[scorer->name()];
    if (scorer->source() != source) {
      of_score.assign(heads, std::numeric_limits<float>::quiet_NaN());
      continue;
    }
    scorer->begin(probe);
    for (const HeadReading& reading : readings) scorer->accumulate(reading);
    of_score = scorer->finish();
  }
  return samples;
}

}  // namespace headscope::profiler
