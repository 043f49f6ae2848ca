// Text on its way into a tokenizer, with every byte still knowing which bytes
// of the user's text it stands for: normalization changes the text, and spans
// (of a needle, of an answer) are asked for in terms of the original.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace headscope::model {

// Half-open byte range inside an AlignedText.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

struct AlignedText {
  std::string text;              // always valid UTF-8
  std::vector<ByteSpan> origin;  // one per byte of text; bytes of one character share one span

  // Appends bytes that all stand for the same original span.
  void append(std::string_view bytes, ByteSpan span);
  // Appends a part of another text with its own alignment.
  void append(const AlignedText& other, TextRange range);
  [[nodiscard]] AlignedText slice(TextRange range) const;
};

// Each ill-formed sequence becomes one U+FFFD that stands for its bytes
// (maximal subparts, as the Unicode standard recommends), so that any bytes can
// be tokenized.
[[nodiscard]] AlignedText align_text(std::string_view original);

// Well-formed UTF-8 by the same replacement.
[[nodiscard]] std::string replace_ill_formed(std::string_view bytes);

// The code point that starts at text[position]; position moves behind it. The
// text must be valid.
char32_t next_code_point(std::string_view text, size_t& position);
void append_utf8(char32_t code_point, std::string& out);

[[nodiscard]] bool is_white_space(char32_t code_point);     // property White_Space
[[nodiscard]] bool is_word_character(char32_t code_point);  // letters, marks, digits, connectors

}  // namespace headscope::model
