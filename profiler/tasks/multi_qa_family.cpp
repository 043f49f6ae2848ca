// Question answering over several documents, two facts to an answer: one document says where a
// person works, another where that place is or what it keeps. A third of the questions needs one
// document only. Graded by token F1, as LongBench's multi-document sets are (arXiv 2308.14508).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"
#include "profiler/tasks/world_words.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumPeople = 3;

enum Kind : size_t { kCityOfPerson, kAnimalOfPerson, kPlaceOfPerson, kNumKinds };

std::vector<AskedWords> wordings_of(size_t kind) {
  static const std::vector<std::vector<AskedWords>> all{
      {{"In which city does {0} work?", "{0} works in the city of"},
       {"To which town does {0} travel every morning?", "Every morning {0} travels to"},
       {"Where on the map is the workplace of {0}?", "The workplace of {0} is in"}},
      {{"Which animal is kept where {0} works?", "Where {0} works, they keep a"},
       {"What creature does {0} see every day at work?", "At work {0} sees a"},
       {"Which pet do the colleagues of {0} feed?", "The colleagues of {0} feed a"}},
      {{"Where does {0} work?", "{0} works at the"},
       {"Who employs {0}? Name the place.", "The employer of {0} is the"},
       {"What is the workplace of {0}?", "The workplace of {0} is the"}}};
  return all[kind];
}

class MultiQaFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "multi-qa"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto people = draw.different_people(kNumPeople);
    const auto places = draw.pick_different(needle_subjects(), kNumPeople);
    const auto cities = draw.pick_different(world_cities(), kNumPeople);
    const auto pets = draw.pick_different(world_pets(), kNumPeople);
    const size_t kind = draw.below(kNumKinds);
    Question question;
    question.family = name();
    question.subjects = people;
    question.subjects.insert(question.subjects.end(), places.begin(), places.end());
    for (size_t i = 0; i < kNumPeople; ++i) {
      // Brackets mark an answer; those of other people are taken off with their mark.
      const auto piece = [&](Kind of, const std::string& value) {
        return i == 0 && of == kind ? "[" + value + "]" : value;
      };
      Statement who = marked("About " + people[i] + ": " + people[i] + " works at the " +
                             piece(kPlaceOfPerson, places[i]) + ".");
      Statement where = marked("About the " + places[i] + ": the " + places[i] + " is in " +
                               piece(kCityOfPerson, cities[i]) + " and keeps a " +
                               piece(kAnimalOfPerson, pets[i]) + ".");
      who.is_needle = i == 0;
      where.is_needle = i == 0 && kind != kPlaceOfPerson;
      question.statements.push_back(std::move(who));
      question.statements.push_back(std::move(where));
    }
    question.accepted = {kind == kCityOfPerson     ? cities[0]
                         : kind == kAnimalOfPerson ? pets[0]
                                                   : places[0]};
    question.metric = Metric::kF1;
    question.max_new_tokens = 8;
    ask(question, draw, wording, wordings_of(kind), {people[0]});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_multi_qa_family() {
  return std::make_unique<MultiQaFamily>();
}

}  // namespace headscope::profiler
