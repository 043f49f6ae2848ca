// Where sentences begin and end.
#pragma once

#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace headscope::profiler {

// Sentences of a text: consecutive, in order, each without surrounding whitespace. A sentence ends
// with . ! ? or … (and closing quotes or brackets) before whitespace, unless the full stop follows
// a single capital or a usual abbreviation; after a CJK full stop; and at a blank line. What still
// exceeds 600 bytes (tables, dumps) is cut at line ends, else at spaces, so that a needle finds a
// place near every depth.
[[nodiscard]] std::vector<model::ByteSpan> find_sentences(std::string_view text);

// -1 where the text is UTF-8, else the offset of the first byte that is not.
[[nodiscard]] int64_t first_invalid_utf8(std::string_view text);

}  // namespace headscope::profiler
