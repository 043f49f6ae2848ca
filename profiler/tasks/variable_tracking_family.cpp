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

// The i-th of a chain: the number goes into the first variable and from each to the next.
std::string assignment(const std::string& number,
                       const std::vector<std::string>& chain,
                       size_t i,
                       bool is_marked) {
  const std::string name = is_marked ? "[" + chain[i] + "]" : chain[i];
  return i == 0 ? "The number " + number + " is stored in variable " + name + "."
                : "The number in variable " + chain[i - 1] + " is also stored in variable " + name +
                      ".";
}

class VariableTrackingFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "variable-tracking"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto names = invented_names(draw, kChain + kOtherChain);
    const auto numbers = draw.different_numbers(2);
    const std::vector<std::string> chain(names.begin(), names.begin() + kChain);
    const std::vector<std::string> others(names.begin() + kChain, names.end());
    Question question;
    question.family = name();
    question.subjects = names;
    question.subjects.insert(question.subjects.end(), numbers.begin(), numbers.end());
    question.keeps_order = true;
    for (size_t i = 0; i < kChain; ++i) {
      question.statements.push_back(marked(assignment(numbers[0], chain, i, /*is_marked=*/true)));
      if (i < kOtherChain) {
        question.statements.push_back(
            distractor(assignment(numbers[1], others, i, /*is_marked=*/false)));
      }
    }
    question.accepted = {listed(chain)};
    question.metric = Metric::kF1;
    question.max_new_tokens = 24;
    ask(question, draw, wording,
        {{"In which variables is the number {0} stored?",
          "The number {0} is stored in the variables"},
         {"Find everything that ends up with {0}.", "Those that end up with {0} are called"},
         {"Who holds {0} in the end?", "In the end, {0} is held by"}},
        {numbers[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_variable_tracking_family() {
  return std::make_unique<VariableTrackingFamily>();
}

}  // namespace headscope::profiler
