// The two words that open each of our files: its format and the version of that.
#pragma once

#include <string>

#include "outputs/model_shape.h"

namespace headscope::outputs {

// Throws InputError unless `format` is `expected_format` and `version` ("1.0") has a major number
// that this program reads. A newer minor version only adds fields, and is read.
void check_file_header(const std::string& where,
                       const std::string& format,
                       const std::string& version,
                       const std::string& expected_format);

// Throws InputError naming the field for counts that no decoder has: none, absurdly many, KV heads
// that do not divide the query heads, an attention window list of another length.
void check_shape(const ModelShape& shape, const std::string& where);

}  // namespace headscope::outputs
