// Cuts windows out of a haystack, by sentences, to a length in tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profiler/haystack.h"

namespace headscope::profiler {

// How many tokens each sentence of a haystack has, counted when first asked for. A sentence counts
// with what joins it to the text before it; in running text the count may differ by a token.
class SentenceTokens {
 public:
  SentenceTokens(const Haystack& haystack, const model::Tokenizer& tokenizer);

  [[nodiscard]] int64_t count(int64_t sentence);
  // The same for a statement that is put in among them.
  [[nodiscard]] int64_t count_of(const std::string& text) const;
  [[nodiscard]] int64_t num_sentences() const { return static_cast<int64_t>(counts_.size()); }
  [[nodiscard]] const Haystack& haystack() const { return *haystack_; }

  // The last sentence from which on there are at least `tokens` tokens; -1 where the whole haystack
  // has fewer.
  [[nodiscard]] int64_t last_start(int64_t tokens);

  // The text of sentences [begin, end), as it stands in the haystack; "" for an empty range.
  [[nodiscard]] std::string text(int64_t begin, int64_t end) const;

 private:
  const Haystack* haystack_;
  const model::Tokenizer* tokenizer_;
  std::vector<int64_t> counts_;  // -1 = not counted yet
};

// The largest number n of sentences from `start` for which measure(n), the tokens of the whole
// prompt, is at most `limit`; `empty_size` is measure(0). None where not even one sentence fits, or
// where the haystack ends before the prompt is full. measure is called a few times, the last time
// not always with the result.
[[nodiscard]] std::optional<int64_t> fit_sentences(SentenceTokens& tokens,
                                                   int64_t start,
                                                   int64_t limit,
                                                   int64_t empty_size,
                                                   const std::function<int64_t(int64_t)>& measure);

}  // namespace headscope::profiler
