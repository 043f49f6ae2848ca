// Summary-like: what one board decided, three times in a long text, to be restated in order.
// Another board's decision distracts.
#include "profiler/needle.h"
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

class SummaryFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "summary"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto boards = draw.pick_different(needle_subjects(), 2);
    const auto verbs = draw.pick_different(actions(), kNumDecisions + 1);
    const auto things = draw.pick_different(objects(), kNumDecisions + 1);
    Question question;
    question.family = name();
    question.subjects = boards;
    question.keeps_order = true;
    std::string summary;
    for (size_t i = 0; i < kNumDecisions; ++i) {
      const std::string decision = verbs[i] + " " + things[i];
      question.statements.push_back(
          marked("The board of the " + boards[0] + " decided to [" + decision + "]."));
      const bool is_last = i + 1 == kNumDecisions;
      summary += (i == 0 ? "" : is_last ? " and to " : ", to ") + decision;
    }
    question.statements.insert(question.statements.begin() + 1,
                               distractor("The board of the " + boards[1] + " decided to " +
                                          verbs.back() + " " + things.back() + "."));
    question.instruction = "Summarise in one sentence what the text above says.";
    question.accepted = {summary + "."};
    question.metric = Metric::kRougeL;
    question.max_new_tokens = 40;
    ask(question, draw, wording,
        {{"What did the board of the {0} decide to do?",
          "In short, the board of the {0} decided to"},
         {"Name all resolutions of those who run the {0}.", "Those who run the {0} resolved to"},
         {"Which plans were made by the directors of the {0}?",
          "The directors of the {0} plan to"}},
        {boards[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_summary_family() {
  return std::make_unique<SummaryFamily>();
}

}  // namespace headscope::profiler
