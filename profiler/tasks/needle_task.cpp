// Retrieval: one statement in filler.
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

class NeedleTask final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "needle"; }

  [[nodiscard]] TaskText write(uint64_t seed,
                               int64_t num_units,
                               const Filler& filler) const override {
    Draw draw(seed);
    const std::vector<std::string> families = needle_families();
    const Needle needle = built_in_needles(1, seed, {draw.pick(families)}).front();
    const double depth = static_cast<double>(draw.below(1001)) / 1000.0;
    TaskText text;
    text.context = filler.around({needle.statement}, {depth}, num_units, seed);
    text.question = needle.question;
    text.answer_prefix = needle.answer_prefix;
    text.accepted = {needle.answer};
    return text;
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_needle_task() {
  return std::make_unique<NeedleTask>();
}

}  // namespace headscope::profiler
