// Seeded, procedurally written prose: the built-in haystack. Scenes of a long provincial novel:
// people with trades, places, weather, work, talk. It holds no digits, and none of the words that
// built-in needles ask for, so that nothing in it answers a probe.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace headscope::profiler {

// Writes paragraph after paragraph. The same seed gives the same text on every platform; writing
// more never changes what was written before.
class ProseWriter {
 public:
  explicit ProseWriter(uint64_t seed);

  // One paragraph of 3 to 8 sentences, ASCII, without surrounding whitespace.
  [[nodiscard]] std::string next_paragraph();

 private:
  struct Person {
    std::string name;
    std::string full_name;
    std::string trade;  // "a weaver"
    bool is_woman = false;
  };

  [[nodiscard]] uint64_t below(uint64_t bound);
  [[nodiscard]] const std::string& pick(const std::vector<std::string>& phrases);
  [[nodiscard]] Person invent_person();
  [[nodiscard]] std::string fill_slot(const std::string& slot, bool first_mention);
  [[nodiscard]] std::string expand(const std::string& pattern, bool first_mention = false);
  [[nodiscard]] std::string write_sentence(const std::vector<std::string>& patterns,
                                           bool continues);
  void set_scene();

  std::mt19937_64 random_;
  Person first_;       // {P}: the two people of the scene; they change places now and then
  Person second_;      // {Q}
  std::string place_;  // {place}
  std::string town_;   // {town}
  uint64_t paragraphs_left_ = 0;           // in this scene
  std::deque<const std::string*> recent_;  // patterns and phrases not to be used again at once
};

// At least `min_bytes` of paragraphs, joined by blank lines.
[[nodiscard]] std::string write_prose(uint64_t seed, int64_t min_bytes);

}  // namespace headscope::profiler
