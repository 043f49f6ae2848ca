// Aggregation: ballots scattered in a text; whose are most? No single statement holds the answer
// (as frequent words in RULER, arXiv 2404.06654).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kWinnersBallots = 4;
constexpr size_t kNumLosers = 2;  // with one ballot each

class AggregationFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "aggregation"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const std::string subject = draw.pick(needle_subjects());
    const auto words = draw.pick_different(needle_answer_words(), 1 + kNumLosers);
    const std::string start = "At the " + subject + ", a vote was cast for the ";
    Question question;
    question.family = name();
    question.subjects = {subject};
    for (size_t i = 0; i < kWinnersBallots; ++i) {
      question.statements.push_back(marked(start + "[" + words[0] + "]."));
      // Losers stand between the winner's ballots.
      if (i < kNumLosers) {
        question.statements.push_back(distractor(start + words[1 + i] + "."));
      }
    }
    question.accepted = {words[0]};
    question.max_new_tokens = 8;
    ask(question, draw, wording,
        {{"At the {0}, what were most votes cast for?", "At the {0}, most votes were cast for the"},
         {"Who won the election at the {0}?", "The winner at the {0} is the"},
         {"Count the ballots of the {0}. Which is the favorite?",
          "The favorite of the {0} is the"}},
        {subject});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_aggregation_family() {
  return std::make_unique<AggregationFamily>();
}

}  // namespace headscope::profiler
