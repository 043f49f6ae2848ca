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
  return text + "    return " + value + "\n\n\n";
}

class CodeTask final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "code"; }

  [[nodiscard]] TaskText write(uint64_t seed, int64_t num_units, const Filler&) const override {
    Draw draw(seed);
    const std::string constant_name = draw.pick(topics()) + "_" + draw.pick(aspects());
    const std::string value = number(draw);
    const std::string wanted = "def " + constant_name + "():\n    return " + value + "\n\n\n";
    const double depth = static_cast<double>(draw.below(1001)) / 1000.0;
    const auto position = static_cast<int64_t>(depth * static_cast<double>(num_units));

    TaskText text;
    for (int64_t i = 0; i <= num_units; ++i) {
      if (i == position) {
        text.context += wanted;
      }
      if (i < num_units) {
        // A verb in front keeps these names apart from the one that is asked for.
        const std::string name =
            draw.pick(verbs()) + "_" + draw.pick(topics()) + "_" + draw.pick(aspects());
        text.context += function_of(draw, name, number(draw));
      }
    }
    text.instruction = "Complete this assertion about the module above with the right number.";
    text.answer_prefix = "assert " + constant_name + "() ==";
    text.accepted = {value};
    text.metric = Metric::kContains;
    text.max_new_tokens = 6;
    return text;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_code_task() {
  return std::make_unique<CodeTask>();
}

}  // namespace headscope::profiler
