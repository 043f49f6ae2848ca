// The `normalizer` entry of tokenizer files: what happens to the text before it
// is cut into pieces.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/aligned_text.h"
#include "model/pattern.h"

namespace headscope::model {

using NormalizeStep = std::function<void(AlignedText&)>;

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// Where a form changes a character together with its combining marks, every
// byte that results stands for all of them.
[[nodiscard]] NormalizeStep unicode_form_step(UnicodeForm form);
// The new text stands for the first character of the old; nothing happens to an
// empty text.
[[nodiscard]] NormalizeStep prepend_step(std::string prefix);
// The new text stands for the last character of what it replaces.
[[nodiscard]] NormalizeStep replace_step(Pattern pattern, std::string replacement);
[[nodiscard]] NormalizeStep lowercase_step();
[[nodiscard]] NormalizeStep strip_step(bool left,
                                       bool right);  // white space at the ends

}  // namespace headscope::model
