// The `pre_tokenizer` entry of tokenizer files: cuts a text into the pieces
// that merges never cross.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/aligned_text.h"
#include "model/pattern.h"

namespace headscope::model {

// A stretch of text between added tokens, and its pieces from left to right,
// none empty.
struct Section {
  AlignedText aligned;
  std::vector<TextRange> pieces;
};
[[nodiscard]] Section make_section(AlignedText text);  // one piece, or none for an empty text

using PreTokenizeStep = std::function<void(Section&)>;

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
enum class PrependScheme { kAlways, kFirst, kNever };  // kFirst: at the start of the text only

// invert: what does not match is the delimiter.
[[nodiscard]] PreTokenizeStep split_step(Pattern pattern, SplitBehavior behavior, bool invert);
// Blanks become `replacement`; split cuts before each of them.
[[nodiscard]] PreTokenizeStep metaspace_step(std::string replacement,
                                             PrependScheme scheme,
                                             bool split);
// use_regex cuts by GPT-2's expression; then every byte is written as the
// printable character that byte-level vocabularies use for it.
[[nodiscard]] PreTokenizeStep byte_level_step(bool add_prefix_space, bool use_regex);
// Cuts before every word_start that follows something else than word_start.
[[nodiscard]] PreTokenizeStep cut_before_step(std::string word_start);

[[nodiscard]] Pattern gpt2_pattern();
[[nodiscard]] const std::array<std::string, 256>& byte_characters();       // byte → its character
[[nodiscard]] std::optional<char> byte_of_character(char32_t code_point);  // the way back

}  // namespace headscope::model
