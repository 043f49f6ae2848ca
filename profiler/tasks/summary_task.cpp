// Summary-like continuation of prose: the minutes of a meeting, in which every item of filler ends
// with what was decided; to be restated in order.
#include <algorithm>

#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumDecisions = 3;

const std::vector<std::string>& actions() {
  static const std::vector<std::string> verbs{"repaint", "sell",   "repair", "enlarge", "close",
                                              "insure",  "rename", "heat",   "survey",  "replace"};
  return verbs;
}

const std::vector<std::string>& objects() {
  static const std::vector<std::string> names{
      "the swimming pool",  "the fire engine",    "the public library", "the bus shelter",
      "the football field", "the music pavilion", "the town archive",   "the youth hostel",
      "the parking garage", "the playground",     "the ice rink",       "the war memorial"};
  return names;
}

class SummaryTask final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "summary"; }

  [[nodiscard]] TaskText write(uint64_t seed,
                               int64_t num_units,
                               const Filler& filler) const override {
    Draw draw(seed);
    const auto verbs = draw.pick_different(actions(), kNumDecisions);
    const auto things = draw.pick_different(objects(), kNumDecisions);
    std::vector<std::string> statements;
    std::vector<double> depths;
    std::string summary;
    for (size_t i = 0; i < kNumDecisions; ++i) {
      const std::string decision = verbs[i] + " " + things[i];
      statements.push_back("It was decided to " + decision + ".");
      depths.push_back(static_cast<double>(draw.below(1001)) / 1000.0);
      const bool is_last = i + 1 == kNumDecisions;
      summary += (i == 0 ? "" : is_last ? " and to " : ", to ") + decision;
    }
    std::sort(depths.begin(), depths.end());

    TaskText text;
    text.context = filler.around(statements, depths, num_units, seed);
    text.instruction = "Summarise in one sentence what was decided in the text above.";
    text.answer_prefix = "In short, it was decided to";
    text.accepted = {summary + "."};
    text.metric = Metric::kRougeL;
    text.max_new_tokens = 32;
    return text;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_summary_task() {
  return std::make_unique<SummaryTask>();
}

}  // namespace headscope::profiler
