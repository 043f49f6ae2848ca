// Built-in needles: generated statements that no text holds by chance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/probe.h"

namespace headscope::profiler {

// "number" (five-digit codes) and "word" (a single common word), in this order. Which heads
// retrieve depends on what is retrieved, so profiles keep the families apart.
[[nodiscard]] std::vector<std::string> needle_families();

// `count` different needles, the given families in turn: the first of each, the second of each, ….
// Every needle has an answer prefix, which with " " + answer + "." is the statement. Ids are
// "number-000", "word-001", …. The same seed gives the same needles on every platform.
// InputError for a family that is not built in, or more needles than there are (at least 500).
[[nodiscard]] std::vector<Needle> built_in_needles(
    int64_t count, uint64_t seed, const std::vector<std::string>& families = {"number", "word"});

// The same needles, asked for in other words than the statement's: family "number-paraphrased", and
// no answer prefix that repeats the statement.
[[nodiscard]] std::vector<Needle> paraphrased_needles(
    int64_t count, uint64_t seed, const std::vector<std::string>& families = {"number", "word"});

// What built-in needles are about, "northern lighthouse", 600 of them; no place of the prose.
[[nodiscard]] const std::vector<std::string>& needle_subjects();

// Every word that a built-in needle may have as its answer, lower case: the prose avoids them.
[[nodiscard]] const std::vector<std::string>& needle_answer_words();

// Byte offset of the answer (real_needle) in the statement; letters may differ in case, as they do
// in published needle files. -1 where it does not stand there.
[[nodiscard]] int64_t find_answer(const std::string& statement, const std::string& real_needle);

}  // namespace headscope::profiler
