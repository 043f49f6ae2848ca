// Tokens that are looked for in the text itself, before anything is normalized
// or cut: control tokens such as <|im_end|>, and words added to a vocabulary
// after training.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/aligned_text.h"

namespace headscope::model {

struct AddedToken {
  int64_t id = 0;
  std::string content;       // never empty
  bool special = false;      // left out by decode, and left alone where parse_special is off
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool single_word = false;  // not inside a word
  bool normalized = false;   // looked for in the normalized text
};

// A stretch of text that is a token (id >= 0) or lies between tokens (id -1).
struct TextPart {
  TextRange range;
  int64_t id = -1;
};

class AddedTokenMatcher {
 public:
  // Of two tokens with one content the first is taken.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Leftmost match first, the longest of those; the parts cover the text, none
  // is empty.
  [[nodiscard]] std::vector<TextPart> split(std::string_view text, bool parse_special) const;

 private:
  [[nodiscard]] const AddedToken* longest_at(std::string_view text, size_t position) const;

  std::vector<AddedToken> tokens_;                  // longest first
  std::vector<std::vector<size_t>> by_first_byte_;  // 256 lists of indices, longest first
};

}  // namespace headscope::model
