#include "profiler/scorer_registry.h"

#include <algorithm>

#include "outputs/input_error.h"
#include "profiler/scores/echo.h"
#include "profiler/scores/induction.h"
#include "profiler/scores/r2.h"
#include "profiler/scores/recency.h"
#include "profiler/scores/retrieval.h"
#include "profiler/scores/sink.h"
#include "profiler/scores/srh.h"
#include "profiler/scores/srh_code.h"
#include "profiler/scores/srh_paper.h"

namespace headscope::profiler {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<HeadScorer> (*make)(const ModelShape& shape, const ScorerOptions& options);
};

template <typename Scorer>
std::unique_ptr<HeadScorer> make_plain(const ModelShape& shape, const ScorerOptions&) {
  return std::make_unique<Scorer>(shape);
}

std::unique_ptr<HeadScorer> make_srh(const ModelShape& shape, const ScorerOptions& options) {
  return std::make_unique<SrhScorer>(shape, options.srh_span);
}

// A new score: its file in scores/, and a line here.
constexpr Entry kScorers[] = {
    {"srh", make_srh},
    {"srh_paper", make_plain<SrhPaperScorer>},
    {"srh_code", make_plain<SrhCodeScorer>},
    {"retrieval", make_plain<RetrievalScorer>},
    {"r2", make_plain<R2Scorer>},
    {"echo", make_plain<EchoScorer>},
    {"induction", make_plain<InductionScorer>},
    {"sink", make_plain<SinkScorer>},
    {"recency", make_plain<RecencyScorer>},
};

}  // namespace

std::vector<std::string> scorer_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kScorers) names.emplace_back(entry.name);
  return names;
}

std::vector<std::string> default_scores(const std::vector<Probe>& probes) {
  ModelShape any_shape;
  any_shape.num_layers = any_shape.num_query_heads = any_shape.num_kv_heads = 1;
  std::vector<std::string> names;
  for (const auto& scorer : make_scorers(scorer_names(), any_shape)) {
    const bool repeated = scorer->source() == ScoreSource::kRepeatedTokens;
    if (std::any_of(probes.begin(), probes.end(),
                    [&](const Probe& probe) { return (probe.repeat_period > 0) == repeated; })) {
      names.push_back(scorer->name());
    }
  }
  return names;
}

ScorerSet make_scorers(const std::vector<std::string>& names,
                       const ModelShape& shape,
                       const ScorerOptions& options) {
  if (names.empty()) throw InputError("scores", "at least one score", "none");
  ScorerSet scorers;
  for (const std::string& name : names) {
    const auto* entry = std::find_if(std::begin(kScorers), std::end(kScorers),
                                     [&](const Entry& known) { return name == known.name; });
    if (entry == std::end(kScorers)) {
      std::string known;
      for (const Entry& each : kScorers)
        known += (known.empty() ? "" : ", ") + std::string(each.name);
      throw InputError("scores", "one of " + known, "\"" + name + "\"");
    }
    for (const auto& earlier : scorers) {
      if (earlier->name() == name) throw InputError("scores", "each score once", name + " twice");
    }
    scorers.push_back(entry->make(shape, options));
  }
  return scorers;
}

}  // namespace headscope::profiler
