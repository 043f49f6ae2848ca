// Head profiles on disk: HDF5, format "headscope.profile", laid out as docs/file_formats.md says.
//
//   /                     attributes format, format_version
//   /model                attributes: name, fingerprint, the shape; dataset attention_window
//   /probes               one dataset per column, [num_probes]; needle_span, answer_span
//                         [num_probes, 2]: the first of each; further_spans [n, 4] where there are
//                         more: probe, 0 needle or 1 answer, begin, end
//   /scores/<name>        samples float32 [num_probes, num_layers, num_query_heads],
//                         mean float64 [num_layers, num_query_heads]
//   /error_curves/<name>  as outputs/curves_file.h says
//   /controls             probes and scores of the no-needle controls, laid out as the two above;
//                         absent where there are none
//   /provenance           attributes; the options in the group /provenance/options
#pragma once

#include <filesystem>
#include <string>

#include "outputs/head_profile.h"

namespace headscope::outputs {

inline constexpr const char* kProfileFormat = "headscope.profile";
inline constexpr const char* kProfileFormatVersion = "1.1";

// Throws InputError naming the dataset when the file is truncated or damaged, of another format or
// a newer major version, or its shapes disagree.
[[nodiscard]] HeadProfile read_profile(const std::filesystem::path& path);

// Throws std::invalid_argument for a profile that its own reader would refuse. Equal profiles give
// equal bytes. Adding to a profile is writing it whole again, with `overwrite`.
void write_profile(const HeadProfile& profile, const std::filesystem::path& path, bool overwrite);

// What the reader checks, beyond types: throws InputError naming the dataset.
void check_profile(const HeadProfile& profile, const std::string& where);

}  // namespace headscope::outputs
