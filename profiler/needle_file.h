// Needles from a file of the user's: JSON lines with `needle`, `question`, `real_needle`, and
// optionally `answer_prefix`, `answer`, `family`, `id`. Other fields are ignored. The needle files
// of Retrieval_Head (arXiv 2404.15574) and HeadKV (arXiv 2410.19258) are read as they are.
#pragma once

#include <string>
#include <vector>

#include "profiler/probe.h"

namespace headscope::profiler {

// Surrounding whitespace of every field is dropped and spaces before a closing question mark too;
// blank lines are skipped; the last line may lack its newline. Ids default to "line-1", ….
// InputError naming file and line: not JSON, a field missing, empty or not text, not UTF-8, an
// answer that does not stand in its statement, an id used twice; or no needle at all.
[[nodiscard]] std::vector<Needle> read_needle_file(const std::string& path);

// The same from text; `name` stands for the file in messages.
[[nodiscard]] std::vector<Needle> parse_needles(const std::string& text, const std::string& name);

}  // namespace headscope::profiler
