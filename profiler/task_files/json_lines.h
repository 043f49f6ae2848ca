// JSON lines: an object a line, every complaint with its line.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "outputs/json_fields.h"

namespace headscope::profiler {

// Calls `take(record, number)` for every line that is not blank; lines count from 1. The record
// lives as long as the call. InputError for a line that is no JSON object in UTF-8, and where there
// is no line at all. `name` stands for the file.
void for_each_json_line(const std::string& text,
                        const std::string& name,
                        const std::function<void(const outputs::JsonField&, int64_t)>& take);

// A field's text, or `fallback` where it is absent or null.
[[nodiscard]] std::string text_or(const outputs::JsonField& record,
                                  const std::string& key,
                                  const std::string& fallback);

// A field that is an array of texts, or one text. InputError where it is empty.
[[nodiscard]] std::vector<std::string> texts_of(const outputs::JsonField& field);

}  // namespace headscope::profiler
