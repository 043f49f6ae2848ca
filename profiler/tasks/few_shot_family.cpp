// A pattern from examples: things with two properties and a label, where the label follows the kind
// of thing and nothing else. The kind asked for is labelled anew for every question, in three of
// the examples, so the rule stands only there; the examples around them show other kinds.
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumExamples = 3;

const std::vector<std::string>& asked_kinds() {
  static const std::vector<std::string> names{
      "hammer",  "pencil",   "bottle",     "jacket",  "bicycle", "carpet",   "mirror",
      "kettle",  "wallet",   "candle",     "scooter", "blanket", "camera",   "sandal",
      "pillow",  "necklace", "tripod",     "vase",    "helmet",  "suitcase", "kite",
      "sweater", "notebook", "skateboard", "drum",    "balloon", "magnet",   "bracelet"};
  return names;
}

const std::vector<std::string>& other_kinds() {
  static const std::vector<std::string> names{"table",  "window", "shovel", "lamp",   "saucer",
                                              "basket", "ladder", "bucket", "poster", "tractor"};
  return names;
}

const std::vector<std::string>& labels() {
  static const std::vector<std::string> names{"red", "blue", "green", "north", "south", "east"};
  return names;
}

const std::vector<std::string>& sizes() {
  static const std::vector<std::string> names{"small", "large", "heavy", "light", "short",
                                              "long",  "broad", "thin",  "flat",  "round"};
  return names;
}

const std::vector<std::string>& conditions() {
  static const std::vector<std::string> names{"new",   "old",     "broken",  "dirty",
                                              "clean", "shiny",   "cheap",   "wet",
                                              "dry",   "painted", "cracked", "plain"};
  return names;
}

std::string describe(Draw& draw, const std::string& kind) {
  const std::string size = draw.pick(sizes());
  return size + " " + draw.pick(conditions()) + " " + kind;
}

std::string example_of(const std::string& thing, const std::string& label) {
  return "Input: " + thing + "\nLabel: " + label;
}

class FewShotFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "few-shot"; }
  [[nodiscard]] bool stands_in_prose() const override { return false; }

  // Other kinds with their labels, as the seed deals them.
  [[nodiscard]] Haystack filler(uint64_t seed) const override {
    Draw dealing(seed);
    std::vector<std::string> dealt;
    for (size_t i = 0; i < other_kinds().size(); ++i) {
      dealt.push_back(dealing.pick(labels()));
    }
    return Haystack::generated("built-in examples, seed " + std::to_string(seed), "\n\n",
                               [dealt, draw = Draw(seed)]() mutable {
                                 const size_t kind = draw.below(dealt.size());
                                 return example_of(describe(draw, other_kinds()[kind]),
                                                   dealt[kind]);
                               });
  }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const std::string kind = draw.pick(asked_kinds());
    const std::string label = draw.pick(labels());
    Question question;
    question.family = name();
    question.subjects = {kind};
    for (size_t i = 0; i < kNumExamples; ++i) {
      question.statements.push_back(marked(example_of(describe(draw, kind), "[" + label + "]")));
    }
    question.accepted = {label};
    question.max_new_tokens = 4;
    const std::string thing = describe(draw, kind);
    // The input stands in the answer, as one more example that wants its label.
    question.instruction = wording == Wording::kLiteral
                               ? "Go on with one more example, in the pattern of those above."
                               : "The examples follow a rule. Apply it.";
    ask(question, draw, wording,
        {{"", "Input: {0}\nLabel:"},
         {"What label does a {0} get?", "By the rule of the examples, a {0} has the label"},
         {"Now comes a {0}.", "For a {0}, the rule gives the label"}},
        {thing});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_few_shot_family() {
  return std::make_unique<FewShotFamily>();
}

}  // namespace headscope::profiler
