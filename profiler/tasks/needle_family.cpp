// Retrieval: one statement in filler, a number or a word in it (arXiv 2404.15574's kind of probe).
#include "profiler/needle.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

class NeedleFamily final : public TaskFamily {
 public:
  [[nodiscard]] std::string name() const override { return "needle"; }

  [[nodiscard]] Question write(uint64_t seed, Wording wording) const override {
    Draw draw(seed);
    const std::vector<std::string> kind{draw.pick(needle_families())};
    return question_of(wording == Wording::kLiteral ? built_in_needles(1, seed, kind).front()
                                                    : paraphrased_needles(1, seed, kind).front());
  }
};

}  // namespace

std::unique_ptr<TaskFamily> make_needle_family() {
  return std::make_unique<NeedleFamily>();
}

}  // namespace headscope::profiler
