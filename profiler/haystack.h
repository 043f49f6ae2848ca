// The filler around needles: built-in prose or the user's own text, cut into sentences.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "profiler/prose.h"
#include "profiler/sentences.h"

namespace headscope::profiler {

class Haystack {
 public:
  // Built-in prose; as long as is asked for.
  [[nodiscard]] static Haystack prose(uint64_t seed);

  // A text file, or a folder whose *.txt files (not those of subfolders) are joined in the order of
  // their names. InputError: nothing there, no such files, empty, or not UTF-8.
  [[nodiscard]] static Haystack read(const std::string& path);

  // A given text; `name` stands for it in messages.
  [[nodiscard]] static Haystack from_text(std::string text, std::string name);

  // Prose grows to at least so many bytes; the user's text stays as it is. What was there stays.
  void grow(int64_t min_bytes);

  [[nodiscard]] bool can_grow() const { return can_grow_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::vector<model::ByteSpan>& sentences() const { return sentences_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // "built-in prose, seed 0", path

 private:
  Haystack(std::string text, std::string name, bool can_grow, uint64_t seed);

  std::string text_;
  std::string name_;
  std::vector<model::ByteSpan> sentences_;
  ProseWriter writer_;
  bool can_grow_;
};

}  // namespace headscope::profiler
