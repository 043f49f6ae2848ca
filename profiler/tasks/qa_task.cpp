// Question answering over several facts: six people, three facts each, scattered in filler. The
// question names one person and one kind of fact; the other fifteen facts of those kinds distract.
#include <algorithm>

#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumPeople = 6;

// None of these words occurs in the built-in prose.
const std::vector<std::string>& people() {
  static const std::vector<std::string> names{
      "Amara", "Bruno", "Chiara", "Diego", "Elena", "Farid", "Gita", "Hassan", "Ivana",  "Jorge",
      "Kenji", "Lucia", "Mehmet", "Nadia", "Omar",  "Priya", "Rosa", "Sven",   "Tamara", "Yusuf"};
  return names;
}

const std::vector<std::string>& professions() {
  static const std::vector<std::string> names{"pilot",  "dentist", "lawyer",  "chef",
                                              "nurse",  "dancer",  "plumber", "sculptor",
                                              "banker", "actor",   "farmer",  "journalist"};
  return names;
}

const std::vector<std::string>& cities() {
  static const std::vector<std::string> names{"Lisbon", "Tokyo",  "Cairo",   "Oslo",
                                              "Madrid", "Boston", "Toronto", "Berlin",
                                              "Paris",  "Sydney", "Dublin",  "Moscow"};
  return names;
}

const std::vector<std::string>& pets() {
  static const std::vector<std::string> names{"parrot", "hamster",  "snake",    "rabbit",
                                              "poodle", "iguana",   "goldfish", "pony",
                                              "ferret", "tortoise", "canary",   "llama"};
  return names;
}

class QaTask final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "qa"; }

  [[nodiscard]] TaskText write(uint64_t seed,
                               int64_t num_units,
                               const Filler& filler) const override {
    Draw draw(seed);
    const auto names = draw.pick_different(people(), kNumPeople);
    const auto jobs = draw.pick_different(professions(), kNumPeople);
    const auto homes = draw.pick_different(cities(), kNumPeople);
    const auto animals = draw.pick_different(pets(), kNumPeople);
    std::vector<std::string> facts;
    std::vector<double> depths;
    for (size_t i = 0; i < kNumPeople; ++i) {
      facts.push_back(names[i] + " works as a " + jobs[i] + ", lives in " + homes[i] +
                      " and owns a " + animals[i] + ".");
      depths.push_back(static_cast<double>(draw.below(1001)) / 1000.0);
    }
    std::sort(depths.begin(), depths.end());

    TaskText text;
    text.context = filler.around(facts, depths, num_units, seed);
    const size_t asked = draw.below(kNumPeople);
    ask(text, draw.below(3), names[asked], {jobs[asked], homes[asked], animals[asked]});
    return text;
  }

 private:
  static void ask(TaskText& text,
                  size_t kind,
                  const std::string& name,
                  const std::vector<std::string>& answers) {
    static const std::vector<std::string> questions{
        "What does {} work as?", "In which city does {} live?", "Which animal does {} own?"};
    static const std::vector<std::string> prefixes{" works as a", " lives in", " owns a"};
    text.question = questions[kind];
    text.question.replace(text.question.find("{}"), 2, name);
    text.answer_prefix = name + prefixes[kind];
    text.accepted = {answers[kind]};
    text.max_new_tokens = 8;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_qa_task() {
  return std::make_unique<QaTask>();
}

}  // namespace headscope::profiler
