// HeadKV-R2's retrieval-reasoning needle (arXiv 2410.19258, Fig. 2): facts to reason with, a wrong
// answer and the right one, all in one place. The paper has two hand-made examples; here names,
// what is compared and what is asked for are drawn.
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

struct Comparison {
  std::string fact;     // {0} the name, {1} the number
  std::string greater;  // "older"
  std::string smaller;
  size_t lowest;
  size_t highest;
};

const std::vector<Comparison>& comparisons() {
  static const std::vector<Comparison> all{
      {"{0} is {1} years old.", "older", "younger", 18, 90},
      {"{0} is {1} centimeters tall.", "taller", "shorter", 150, 205},
      {"{0} weighs {1} kilograms.", "heavier", "lighter", 45, 120},
      {"{0} earns {1} dollars a day.", "richer", "poorer", 60, 900}};
  return all;
}

struct Topic {
  std::string name;  // "favorite sport"
  std::vector<std::string> answers;
};

const std::vector<Topic>& topics() {
  static const std::vector<Topic> all{
      {"favorite sport",
       {"basketball", "karate", "snowboarding", "badminton", "volleyball", "judo", "baseball",
        "surfing"}},
      {"favorite dish",
       {"lasagna", "sushi", "pizza", "ramen", "paella", "tacos", "hummus", "spaghetti"}},
      {"favorite country",
       {"Brazil", "Canada", "Vietnam", "Iceland", "Morocco", "Kenya", "Thailand", "Argentina"}},
      {"favorite instrument",
       {"saxophone", "harmonica", "ukulele", "clarinet", "cello", "xylophone", "tuba", "banjo"}}};
  return all;
}

class ReasoningFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "reasoning"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const auto people = draw.different_people(2);
    const Comparison& comparison = comparisons()[draw.below(comparisons().size())];
    const Topic& topic = topics()[draw.below(topics().size())];
    const auto answers = draw.pick_different(topic.answers, 2);
    const size_t range = comparison.highest - comparison.lowest - 10;
    const size_t low = comparison.lowest + draw.below(range);
    const size_t high = low + 1 + draw.below(comparison.highest - low);
    // The right one is people[0]; who is named first where, is drawn.
    const bool asks_greater = draw.below(2) == 0;
    const std::vector<std::string> numbers{std::to_string(asks_greater ? high : low),
                                           std::to_string(asks_greater ? low : high)};
    const size_t first_fact = draw.below(2);
    const size_t first_answer = draw.below(2);
    std::string text = filled(comparison.fact, {people[first_fact], numbers[first_fact]}) + " " +
                       filled(comparison.fact, {people[1 - first_fact], numbers[1 - first_fact]});
    for (const size_t who : {first_answer, 1 - first_answer}) {
      const std::string answer = who == 0 ? "[" + answers[0] + "]" : answers[1];
      text += " The " + topic.name + " of " + people[who] + " is " + answer + ".";
    }
    const std::string first_name = people[draw.below(2)];
    const std::string second_name = first_name == people[0] ? people[1] : people[0];

    Question question;
    question.family = name();
    question.subjects = people;
    question.statements = {marked(text)};
    question.accepted = {answers[0]};
    question.metric = Metric::kF1;
    question.max_new_tokens = 8;
    ask(question, draw, wording,
        {{"What is the {0} of the {1} one of {2} and {3}?", "The {0} of the {1} one is"},
         {"Think of {2} and {3}, and of the one who is {1}. What is the {0} of this person?",
          "As {0}, the {1} one named"},
         {"Of the two people {2} and {3}, name the {0} of the {1}.",
          "Of the two, the {1} one has a {0}, namely"}},
        {topic.name, asks_greater ? comparison.greater : comparison.smaller, first_name,
         second_name});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_reasoning_family() {
  return std::make_unique<ReasoningFamily>();
}

}  // namespace headscope::profiler
