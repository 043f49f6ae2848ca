// Seeded, procedurally written prose: the built-in haystack. Chapters of a long provincial novel:
// people with trades, places, weather, work, talk. It holds no digits, and none of the words that
// built-in needles ask for, so that nothing in it answers a probe.
#pragma once

#include <cstdint>
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
    std::string trade;
    bool is_woman = false;
  };

  [[nodiscard]] const std::string& pick(const std::vector<std::string>& words);
  [[nodiscard]] std::string expand(const std::string& pattern);
  [[nodiscard]] std::string word_for(const std::string& slot);
  [[nodiscard]] std::string sentence(bool first_of_paragraph);
  void set_scene();

  std::mt19937_64 random_;
  std::vector<Person> cast_;             // who the present chapter is about
  std::string place_;                    // where it happens
  int64_t paragraphs_left_ = 0;          // in this scene
  std::vector<size_t> recent_patterns_;  // not to be repeated at once
};

// At least `min_bytes` of paragraphs, joined by blank lines.
[[nodiscard]] std::string write_prose(uint64_t seed, int64_t min_bytes);

}  // namespace headscope::profiler
