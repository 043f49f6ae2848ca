// A pattern from examples: things with two properties and a label, where the label follows the kind
// of thing and nothing else. Kinds and labels are dealt anew for every sample, so the rule stands
// only in the examples; each kind asked for occurs among them, in other words.
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr size_t kNumKinds = 6;
constexpr size_t kNumLabels = 3;

const std::vector<std::string>& kinds() {
  static const std::vector<std::string> names{"hammer", "pencil", "bottle",  "jacket",
                                              "table",  "window", "bicycle", "carpet",
                                              "mirror", "kettle", "wallet",  "candle"};
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

class FewShotTask final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "few-shot"; }

  [[nodiscard]] TaskText write(uint64_t seed, int64_t num_units, const Filler&) const override {
    Draw draw(seed);
    const auto used_kinds = draw.pick_different(kinds(), kNumKinds);
    const auto used_labels = draw.pick_different(labels(), kNumLabels);
    const size_t asked = draw.below(kNumKinds);
    const std::string asked_thing = describe(draw, used_kinds[asked]);

    TaskText text;
    // Every kind once, whatever the size; then more examples, at random.
    const int64_t num_examples = static_cast<int64_t>(kNumKinds) + num_units;
    for (int64_t i = 0; i < num_examples; ++i) {
      const size_t kind =
          i < static_cast<int64_t>(kNumKinds) ? static_cast<size_t>(i) : draw.below(kNumKinds);
      text.context += "Input: " + describe(draw, used_kinds[kind]) +
                      "\nLabel: " + used_labels[kind % kNumLabels] + "\n\n";
    }
    text.instruction = "Give the label of this input, in the pattern of the examples.";
    text.question = "Input: " + asked_thing;
    text.answer_prefix = "Label:";
    text.accepted = {used_labels[asked % kNumLabels]};
    text.max_new_tokens = 4;
    return text;
  }

 private:
  static std::string describe(Draw& draw, const std::string& kind) {
    const std::string size = draw.pick(sizes());
    const std::string condition = draw.pick(conditions());
    return size + " " + condition + " " + kind;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_few_shot_task() {
  return std::make_unique<FewShotTask>();
}

}  // namespace headscope::profiler
