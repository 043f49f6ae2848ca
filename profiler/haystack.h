// The filler around needles: built-in prose or the user's own text, cut into sentences.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/tokenizer.h"
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

  // Units that are made as they are needed, each one indivisible: functions of code, examples.
  [[nodiscard]] static Haystack generated(std::string name,
                                          std::string joint,
                                          std::function<std::string()> next_unit);

  // Prose and generated units grow to at least so many bytes; the user's text stays as it is. What
  // was there stays.
  void grow(int64_t min_bytes);

  [[nodiscard]] bool can_grow() const { return next_block_ != nullptr; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::vector<model::ByteSpan>& sentences() const { return sentences_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // "built-in prose, seed 0", path
  // What stands between two sentences where a statement is put in: " " in prose.
  [[nodiscard]] const std::string& joint() const { return joint_; }

 private:
  Haystack(std::string text, std::string name);

  // A unit of its own, or a paragraph to be cut into sentences.
  void append(const std::string& block);

  std::string text_;
  std::string name_;
  std::vector<model::ByteSpan> sentences_;
  std::string joint_ = " ";
  std::function<std::string()> next_block_;  // none: text of the user's
  bool blocks_are_units_ = false;
};

}  // namespace headscope::profiler
