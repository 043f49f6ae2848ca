// Two needles asked for at once, two more of their kind beside them (multi-query needles of RULER,
// arXiv 2404.06654).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumAsked = 2;
constexpr size_t kNumKeys = 4;

class MultiQueryFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "multi-query"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto subjects = draw.pick_different(needle_subjects(), kNumKeys);
    const auto numbers = draw.different_numbers(kNumKeys);
    Question question;
    question.family = name();
    question.subjects = subjects;
    for (size_t i = 0; i < kNumKeys; ++i) {
      const std::string start = "The gate number of the " + subjects[i] + " is ";
      question.statements.push_back(i < kNumAsked ? marked(start + "[" + numbers[i] + "].")
                                                  : distractor(start + numbers[i] + "."));
    }
    question.accepted = {numbers[0] + ", " + numbers[1]};
    question.metric = Metric::kF1;
    question.max_new_tokens = 20;
    ask(question, draw, wording,
        {{"What are the gate numbers of the {0} and of the {1}?",
          "The gate numbers of the {0} and of the {1} are"},
         {"Which entrances lead into the {0} and into the {1}?",
          "For the {0} and the {1} the entrances are number"},
         {"First the {0}, then the {1}: where do visitors go in?",
          "Visitors of the {0} and of the {1} go in at number"}},
        {subjects[0], subjects[1]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_multi_query_family() {
  return std::make_unique<MultiQueryFamily>();
}

}  // namespace headscope::profiler
