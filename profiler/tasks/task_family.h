// What one family does: write a question with the statements that its answer is made from. One
// description serves probes (where do the heads look?) and graded tasks (is the answer right?).
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probes/question.h"
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
  // "10000".."99999", none twice.
  [[nodiscard]] std::vector<std::string> different_numbers(size_t count);
  // First name and surname; no name of the built-in prose.
  [[nodiscard]] std::vector<std::string> different_people(size_t count);

 private:
  std::mt19937_64 random_;
};

// In the statement's own words, or in others.
enum class Wording { kLiteral, kParaphrased };

// A question and the start of its answer, with {0}, {1}, … for what differs.
struct AskedWords {
  std::string question;
  std::string answer_prefix;
};

// Puts one wording into the question, values[i] for its {i}: the first wording for kLiteral, one
// of the others, drawn, for kParaphrased.
void ask(Question& question,
         Draw& draw,
         Wording wording,
         const std::vector<AskedWords>& wordings,
         const std::vector<std::string>& values);

// The pattern with values[i] for every {i}.
[[nodiscard]] std::string filled(std::string pattern, const std::vector<std::string>& values);

// "a, b, c".
[[nodiscard]] std::string listed(const std::vector<std::string>& items);

class TaskFamily {
 public:
  virtual ~TaskFamily() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // The same seed asks for the same thing in either wording. The id is the caller's to set.
  [[nodiscard]] virtual Question write(uint64_t seed, Wording wording) const = 0;
  // What the statements stand among. Only prose may be replaced by the user's own text.
  [[nodiscard]] virtual bool stands_in_prose() const { return true; }
  [[nodiscard]] virtual Haystack filler(uint64_t seed) const { return Haystack::prose(seed); }
};

[[nodiscard]] std::unique_ptr<TaskFamily> make_needle_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_multi_key_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_multi_value_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_multi_query_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_reasoning_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_variable_tracking_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_qa_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_multi_qa_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_summary_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_few_shot_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_code_family();
[[nodiscard]] std::unique_ptr<TaskFamily> make_aggregation_family();

}  // namespace headscope::profiler
