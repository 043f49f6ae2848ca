// What one task family does: write a graded question over a context of any size.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/task.h"

namespace headscope::profiler {

// Raw draws of the same numbers on every platform; standard distributions differ.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  [[nodiscard]] size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  [[nodiscard]] const std::string& pick(const std::vector<std::string>& items) {
    return items[below(items.size())];
  }
  // `count` different items, in random order.
  [[nodiscard]] std::vector<std::string> pick_different(std::vector<std::string> items,
                                                        size_t count);

 private:
  std::mt19937_64 random_;
};

// Sentences of filler: built-in prose of a seed's own, or a window of the user's text.
class Filler {
 public:
  explicit Filler(Haystack* user_text) : user_text_(user_text) {}

  // `statements` stand among `num_sentences` sentences of filler, at the given depths (0..1,
  // ascending). InputError where the user's text has fewer sentences.
  [[nodiscard]] std::string around(const std::vector<std::string>& statements,
                                   const std::vector<double>& depths,
                                   int64_t num_sentences,
                                   uint64_t seed) const;

 private:
  Haystack* user_text_;
};

struct TaskText {
  std::string context;
  std::string instruction;  // empty = the prompt format's own, with the question as it asks
  std::string question;
  std::string answer_prefix;
  std::vector<std::string> accepted;
  Metric metric = Metric::kContains;
  int64_t max_new_tokens = 16;
};

class TaskFamily {
 public:
  virtual ~TaskFamily() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // A sample whose context has `num_units` of what the family pads with (sentences, examples,
  // functions), >= 0. The same seed asks the same question at every size, and more units never make
  // a shorter context.
  [[nodiscard]] virtual TaskText write(uint64_t seed,
                                       int64_t num_units,
                                       const Filler& filler) const = 0;
};

[[nodiscard]] std::unique_ptr<TaskFamily> make_needle_task();
[[nodiscard]] std::unique_ptr<TaskFamily> make_qa_task();
[[nodiscard]] std::unique_ptr<TaskFamily> make_few_shot_task();
[[nodiscard]] std::unique_ptr<TaskFamily> make_summary_task();
[[nodiscard]] std::unique_ptr<TaskFamily> make_code_task();

}  // namespace headscope::profiler
