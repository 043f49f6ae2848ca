// One needle among others of its kind: four subjects have a number, one is asked for (multi-key
// needles of RULER, arXiv 2404.06654).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumKeys = 4;

class MultiKeyFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "multi-key"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto subjects = draw.pick_different(needle_subjects(), kNumKeys);
    const auto numbers = draw.different_numbers(kNumKeys);
    Question question;
    question.family = name();
    question.subjects = subjects;
    question.statements.push_back(
        marked("The door code of the " + subjects[0] + " is [" + numbers[0] + "]."));
    for (size_t i = 1; i < kNumKeys; ++i) {
      question.statements.push_back(
          distractor("The door code of the " + subjects[i] + " is " + numbers[i] + "."));
    }
    question.accepted = {numbers[0]};
    ask(question, draw, wording,
        {{"What is the door code of the {0}?", "The door code of the {0} is"},
         {"Which number lets you into the {0}?", "Whoever wants to enter the {0} types"},
         {"You stand at the locked entrance of the {0}. What do you type?", "At the {0} you type"}},
        {subjects[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_multi_key_family() {
  return std::make_unique<MultiKeyFamily>();
}

}  // namespace headscope::profiler
