#include "profiler/self_test_scores.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "profiler/scorer_registry.h"

namespace headscope::profiler {
namespace {

// What a planted model must show under a score.
enum class Claim {
  kPlantedFirst,  // it looks for the circuit that was planted
  kOffsetFirst,   // it looks for heads that read the last few tokens: the predecessor heads
  kPlantedLow     // it looks for what the planted head does not do
};

struct Expectation {
  const char* score;
  Claim claim;
};

// A new score: its line here.
constexpr Expectation kExpectations[] = {
    {"srh", Claim::kPlantedFirst},       {"srh_paper", Claim::kPlantedFirst},
    {"srh_code", Claim::kPlantedFirst},  {"retrieval", Claim::kPlantedFirst},
    {"r2", Claim::kPlantedFirst},        {"echo", Claim::kPlantedLow},
    {"induction", Claim::kPlantedFirst}, {"sink", Claim::kPlantedLow},
    {"recency", Claim::kOffsetFirst},
};

// The best of the other heads has at most half of the known head's score.
constexpr double kMargin = 0.5;
// More than 0.95 of the planted head's attention lies on the match (tests/profiler hold it to
// that); whatever lies elsewhere is below the rest.
constexpr double kLow = 0.05;

bool is_offset_head(const HeadId& head, const PlantedModelOptions& options) {
  return head.layer == 0 && head.head < std::min<int64_t>(3, options.num_query_heads);
}

// Highest score among the heads that `belongs` accepts; NaN where one of them has none.
template <typename Predicate>
double best_of(const HeadMatrix& scores, const Predicate& belongs) {
  double best = -1.0;
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t head = 0; head < scores.num_heads; ++head) {
      if (!belongs(HeadId{layer, head})) continue;
      const double score = scores.at(layer, head);
      if (std::isnan(score)) return score;
      best = std::max(best, score);
    }
  }
  return best;
}

// How far the others come up to the known heads, 0 and more; NaN where those score nothing.
double ratio_of(Claim claim, const HeadMatrix& scores, const PlantedModelOptions& options) {
  const auto known = [&](const HeadId& head) {
    return claim == Claim::kOffsetFirst ? is_offset_head(head, options) : head == options.planted;
  };
  const double score = best_of(scores, known);
  if (claim == Claim::kPlantedLow) return score;
  const double other = best_of(scores, [&](const HeadId& head) { return !known(head); });
  return score > 0.0 ? other / score : std::nan("");
}

Measurement measure_score(const std::string& name, const std::vector<PlantedModel>& models) {
  const auto* expected = std::find_if(std::begin(kExpectations), std::end(kExpectations),
                                      [&](const Expectation& each) { return name == each.score; });
  if (expected == std::end(kExpectations)) {
    throw std::logic_error("the self-test does not know what to expect of score " + name);
  }
  Measurement worst{0.0, expected->claim == Claim::kPlantedLow ? kLow : kMargin};
  for (const PlantedModel& planted : models) {
    const double ratio =
        ratio_of(expected->claim, planted.profile.scores.at(name).mean, planted.options);
    // Not std::max: NaN must win.
    if (!(ratio <= worst.value)) worst.value = ratio;
    if (std::isnan(ratio)) break;
  }
  return worst;
}

Measurement measure_answers(const std::vector<PlantedModel>& models) {
  int64_t answered = 0;
  int64_t asked = 0;
  for (const PlantedModel& planted : models) {
    answered += planted.profile.num_successful();
    asked += static_cast<int64_t>(planted.probes.size());
  }
  return {static_cast<double>(answered) / static_cast<double>(asked), 1.0, /*at_least=*/true};
}

}  // namespace

std::vector<SelfTestCheck> score_checks(const std::shared_ptr<PlantedModels>& models) {
  std::vector<SelfTestCheck> checks;
  const auto of_group = [](int64_t group) { return ", group size " + std::to_string(group); };
  for (const int64_t group : self_test_group_sizes()) {
    checks.push_back({"planted models answer" + of_group(group),
                      [=] { return measure_answers(models->of_group(group)); }});
  }
  for (const std::string& name : scorer_names()) {
    for (const int64_t group : self_test_group_sizes()) {
      checks.push_back({"score " + name + of_group(group),
                        [=] { return measure_score(name, models->of_group(group)); }});
    }
  }
  return checks;
}

}  // namespace headscope::profiler
