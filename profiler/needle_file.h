// Needles from a file of the user's: JSON lines with `needle`, `question`, `real_needle`, and
// optionally `answer_prefix`, `answer`, `family`, `id`. Other fields are ignored. The needle files
// of Retrieval_Head (arXiv 2404.15574) and HeadKV (arXiv 2410.19258) are read as they are.
#pragma once

#include <string>
#include <vector>

#include "profiler/probe.h"

namespace headscope::profiler {

// Whitespace around a field is dropped, blank lines are skipped, and the last line may lack its
// newline. Ids default to "line-1", …; family to "needle"; answer to real_needle.
// InputError naming file and line: not JSON or not UTF-8, a field missing, empty or not text, a
// real_needle that does not stand in its needle, an id used twice; or no needle at all.
[[nodiscard]] std::vector<Needle> read_needle_file(const std::string& path);

// The same from text; `name` stands for the file in messages.
[[nodiscard]] std::vector<Needle> parse_needles(const std::string& text, const std::string& name);

}  // namespace headscope::profiler
