// Code: a Python module of small functions, of which one value has to be recalled at the end.
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

const std::vector<std::string>& topics() {
  static const std::vector<std::string> words{
      "invoice", "sensor", "payment", "session", "image",  "report", "order",   "customer",
      "ticket",  "backup", "metric",  "account", "device", "record", "upload",  "schedule",
      "message", "cache",  "network", "catalog", "search", "export", "profile", "shipment"};
  return words;
}

const std::vector<std::string>& aspects() {
  static const std::vector<std::string> words{"limit",  "timeout", "offset", "weight", "count",
                                              "delay",  "margin",  "width",  "depth",  "retries",
                                              "budget", "quota",   "window", "height", "length"};
  return words;
}

const std::vector<std::string>& verbs() {
  static const std::vector<std::string> words{"load",  "parse", "check", "merge", "sort",
                                              "write", "fetch", "clean", "print", "split"};
  return words;
}

std::string number(Draw& draw) {
  return std::to_string(100 + draw.below(900));
}

std::string function_of(Draw& draw, const std::string& name, const std::string& value) {
  const std::string argument = draw.pick(topics()) + "s";
  const std::string helper = draw.pick(verbs()) + "_" + draw.pick(topics());
  std::string text = "def " + name + "(" + argument + "):\n";
  text += "    for item in " + helper + "(" + argument + "):\n";
  text += "        item.update()\n";
  return text + "    return " + value;
}

class CodeFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "code"; }
  [[nodiscard]] bool stands_in_prose() const override { return false; }

  [[nodiscard]] Haystack filler(uint64_t seed) const override {
    return Haystack::generated(
        "built-in code, seed " + std::to_string(seed), "\n\n\n", [draw = Draw(seed)]() mutable {
          // A verb in front keeps these names apart from the one that is asked for.
          const std::string verb = draw.pick(verbs());
          const std::string topic = draw.pick(topics());
          const std::string function = verb + "_" + topic + "_" + draw.pick(aspects());
          return function_of(draw, function, number(draw));
        });
  }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const std::string topic = draw.pick(topics());
    const std::string aspect = draw.pick(aspects());
    const std::string function = topic + "_" + aspect;
    const std::string value = number(draw);
    Question question;
    question.family = name();
    question.subjects = {function};
    question.statements = {marked("def " + function + "():\n    return [" + value + "]")};
    question.accepted = {value};
    question.max_new_tokens = 6;
    question.instruction = wording == Wording::kLiteral
                               ? "Complete this assertion about the module above with the right "
                                 "number."
                               : "Answer from the module above.";
    ask(question, draw, wording,
        {{"", "assert {0}() =="},
         {"Which {2} does the module give for the {1}?",
          "The {2} that the module gives for the {1} is"},
         {"What is printed for the {2} of the {1}?", "As the {2} of the {1} this is printed:"}},
        {function, topic, aspect});
    return question;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_code_family() {
  return std::make_unique<CodeFamily>();
}

}  // namespace headscope::profiler
