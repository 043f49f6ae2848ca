// Just enough of Jinja to read what a chat template writes: its tags, and the text between them
// that survives the trimming which transformers asks Jinja for (trim_blocks, lstrip_blocks).
// Nothing is executed.
#pragma once

#include <string>
#include <vector>

namespace headscope::model {

// One operand of a `+` chain: a quoted text (escapes resolved), or any other expression, with
// blanks removed and quotes made single.
struct JinjaTerm {
  bool is_literal = false;
  std::string text;
};

struct JinjaTag {
  bool is_output = false;  // {{ … }}; else {% … %}
  std::string body;        // as written, without delimiters
  std::vector<JinjaTerm>
      terms;               // of an output, or behind the = of a set; neighbouring texts joined
  std::string text_after;  // plain text that is written behind the tag
};

struct JinjaText {
  std::string text_before;  // plain text before the first tag
  std::vector<JinjaTag> tags;
};

// A text with unclosed tags reads as far as it goes, with the rest as plain text.
[[nodiscard]] JinjaText read_jinja(const std::string& source);

}  // namespace headscope::model
