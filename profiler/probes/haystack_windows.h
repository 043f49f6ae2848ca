// The windows of a haystack that a context may be cut from, tried one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "profiler/probes/context_layout.h"

namespace headscope::profiler {

// Text enough for windows of these lengths with a choice of starts; the user's text stays as it is.
void grow_for(Haystack& haystack, const std::vector<int64_t>& context_lengths);

// InputError where there is none, or one below 1.
void check_context_lengths(const std::vector<int64_t>& context_lengths);

class HaystackWindows {
 public:
  // Windows for prompts of `context_length` tokens; `draw` says which is tried first. InputError
  // where the haystack has too little text.
  HaystackWindows(SentenceTokens& tokens, int64_t context_length, uint64_t draw);

  // First sentence of the window that is tried first.
  [[nodiscard]] int64_t start() const { return start_; }

  // The statements in the first window that serves (fit_context) and that `accept` takes.
  // `needle_id` stands for the statements in messages. InputError where they alone, with question
  // and template, leave no room for a sentence, or no window is left.
  [[nodiscard]] LaidContext first_that_fits(
      const std::vector<PlacedStatement>& statements,
      const std::string& needle_id,
      const std::function<int64_t(const LaidContext&)>& measure,
      const std::function<bool(const LaidContext&)>& accept);

 private:
  SentenceTokens& tokens_;
  int64_t context_length_;
  int64_t num_windows_;  // start sentences with enough text after them
  int64_t start_;
};

}  // namespace headscope::profiler
