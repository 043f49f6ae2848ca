// The `decoder` entry of tokenizer files: tokens back to text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/pattern.h"

namespace headscope::model {

// Rewrites the list of tokens; what is left at the end is joined.
using DecodeStep = std::function<void(std::vector<std::string>&)>;

[[nodiscard]] DecodeStep byte_level_decode_step();     // printable characters back to bytes
[[nodiscard]] DecodeStep byte_fallback_decode_step();  // runs of <0x00> … <0xFF> to characters
[[nodiscard]] DecodeStep fuse_decode_step();
[[nodiscard]] DecodeStep replace_decode_step(Pattern pattern, std::string replacement);
// Takes `content` off the ends of every token, at most `left` and `right`
// times.
[[nodiscard]] DecodeStep strip_decode_step(std::string content, size_t left, size_t right);
// strip_first: the first token loses its blanks, which a prefix put there.
[[nodiscard]] DecodeStep metaspace_decode_step(std::string replacement, bool strip_first);

}  // namespace headscope::model
