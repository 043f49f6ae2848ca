#include "profiler/scorer_registry.h"

#include <algorithm>

#include "outputs/input_error.h"
#include "profiler/scores/retrieval.h"
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
};

}  // namespace

std::vector<std::string> scorer_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kScorers) names.emplace_back(entry.name);
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
