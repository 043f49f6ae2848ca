// Question answering over one document: four people, three facts each, in a story. The question
// names one person and one kind of fact; the others' facts of that kind distract. Graded by token
// F1, as LongBench's single-document sets are (arXiv 2308.14508).
#include "profiler/tasks/task_family.h"
#include "profiler/tasks/world_words.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumPeople = 4;

std::vector<AskedWords> wordings_of(size_t kind) {
  static const std::vector<std::vector<AskedWords>> all{
      {{"What does {0} work as?", "{0} works as a"},
       {"What is the profession of {0}?", "By profession, {0} is a"},
       {"How does {0} make a living?", "{0} makes a living as a"}},
      {{"In which city does {0} live?", "{0} lives in"},
       {"Where is the home of {0}?", "The home of {0} is in"},
       {"You want to visit {0}. Where do you travel?", "To visit {0}, you travel to"}},
      {{"Which animal does {0} own?", "{0} owns a"},
       {"What pet does {0} have at home?", "The pet of {0} is a"},
       {"What kind of creature belongs to {0}?", "The creature that belongs to {0} is a"}}};
  return all[kind];
}

class QaFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "qa"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto people = draw.different_people(kNumPeople);
    const auto jobs = draw.pick_different(world_professions(), kNumPeople);
    const auto homes = draw.pick_different(world_cities(), kNumPeople);
    const auto pets = draw.pick_different(world_pets(), kNumPeople);
    const size_t kind = draw.below(3);
    Question question;
    question.family = name();
    question.subjects = people;
    for (size_t i = 0; i < kNumPeople; ++i) {
      // The person asked about is the first: statements are spread, so that is no hint.
      const auto fact = [&](size_t which, const std::string& value) {
        return i == 0 && which == kind ? "[" + value + "]" : value;
      };
      Statement statement = marked(people[i] + " works as a " + fact(0, jobs[i]) + ", lives in " +
                                   fact(1, homes[i]) + " and owns a " + fact(2, pets[i]) + ".");
      statement.is_needle = i == 0;
      question.statements.push_back(std::move(statement));
    }
    question.accepted = {kind == 0 ? jobs[0] : kind == 1 ? homes[0] : pets[0]};
    question.metric = Metric::kF1;
    question.max_new_tokens = 8;
    ask(question, draw, wording, wordings_of(kind), {people[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_qa_family() {
  return std::make_unique<QaFamily>();
}

}  // namespace headscope::profiler
