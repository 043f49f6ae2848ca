// A chain of assignments scattered in order: which variables hold the value that only the first was
// given? (variable tracking of RULER, arXiv 2404.06654). A second chain distracts.
#include <algorithm>

#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kChain = 3;
constexpr size_t kOtherChain = 2;

// Five letters that can be read aloud and mean nothing.
std::vector<std::string> invented_names(Draw& draw, size_t count) {
  static const std::string consonants = "bdfgklmnprstvz";
  static const std::string vowels = "aeiou";
  std::vector<std::string> names;
  while (names.size() < count) {
    std::string name;
    for (size_t i = 0; i < 5; ++i) {
      const std::string& letters = i % 2 == 0 ? consonants : vowels;
      name += letters[draw.below(letters.size())];
    }
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

class VariableTrackingFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "variable-tracking"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto names = invented_names(draw, kChain + kOtherChain);
    const auto numbers = draw.different_numbers(2);
    const std::vector<std::string> chain(names.begin(), names.begin() + kChain);
    Question question;
    question.family = name();
    question.subjects = names;
    question.subjects.insert(question.subjects.end(), numbers.begin(), numbers.end());
    question.keeps_order = true;
    for (size_t i = 0; i < kChain; ++i) {
      const std::string value = i == 0 ? numbers[0] : "the value of variable " + chain[i - 1];
      question.statements.push_back(marked("Variable [" + chain[i] + "] is set to " + value + "."));
      if (i < kOtherChain) {
        const std::string other =
            i == 0 ? numbers[1] : "the value of variable " + names[kChain + i - 1];
        question.statements.push_back(
            distractor("Variable " + names[kChain + i] + " is set to " + other + "."));
      }
    }
    question.accepted = {listed(chain)};
    question.metric = Metric::kF1;
    question.max_new_tokens = 24;
    ask(question, draw, wording,
        {{"Which variables are set to {0}, directly or through another variable?",
          "The variables that are set to {0} are"},
         {"Find everything that ends up with the number {0}.", "These end up with it:"},
         {"Who holds {0} in the end?", "It is held by"}},
        {numbers[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_variable_tracking_family() {
  return std::make_unique<VariableTrackingFamily>();
}

}  // namespace headscope::profiler
