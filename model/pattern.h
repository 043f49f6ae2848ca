// What tokenizer files search texts for: a fixed string or a regular
// expression.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/aligned_text.h"

namespace headscope::model {

// Immutable and cheap to copy; safe to use from several threads.
class Pattern {
 public:
  [[nodiscard]] static Pattern literal(std::string text);
  // Unicode-aware: \p{…} and \s by Unicode properties, \s being exactly
  // White_Space as in the engines that tokenizer files are written for (PCRE2's
  // own \s has U+180E too). InputError, with `where`, for an expression that
  // PCRE2 does not take.
  [[nodiscard]] static Pattern regex(const std::string& expression, const std::string& where);

  // All matches from left to right, none overlapping; text must be valid UTF-8.
  [[nodiscard]] std::vector<TextRange> find_all(std::string_view text) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;  // null for a fixed string
};

}  // namespace headscope::model
