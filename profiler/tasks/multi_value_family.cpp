// Several needles with one answer each, all to be found: three numbers of one subject (multi-value
// needles of RULER, arXiv 2404.06654).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumValues = 3;

class MultiValueFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "multi-value"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const std::string subject = draw.pick(needle_subjects());
    const auto numbers = draw.different_numbers(kNumValues);
    Question question;
    question.family = name();
    question.subjects = {subject};
    question.keeps_order = true;
    for (const std::string& number : numbers) {
      question.statements.push_back(
          marked("One of the locker numbers of the " + subject + " is [" + number + "]."));
    }
    question.accepted = {listed(numbers)};
    question.metric = Metric::kF1;
    question.max_new_tokens = 28;
    ask(question, draw, wording,
        {{"What are all the locker numbers of the {0}?", "The locker numbers of the {0} are"},
         {"Which cabinets at the {0} does the text mention?",
          "The cabinets at the {0} have the numbers"},
         {"List every box that can be rented at the {0}.", "At the {0} you can rent the boxes"}},
        {subject});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_multi_value_family() {
  return std::make_unique<MultiValueFamily>();
}

}  // namespace headscope::profiler
