// `--probes PRESET|FILE`: settings of probe options, from a preset or from a TOML or INI file.
#pragma once

#include <string>
#include <vector>

#include "profiler/cli/probe_options.h"
#include "profiler/probe_preset.h"

namespace headscope::cli {

// The settings of a preset, or of a file (an ending of .ini reads INI, any other TOML; CLI11's own
// parsers). InputError where there is neither, or the file does not parse.
[[nodiscard]] std::vector<profiler::ProbeSetting> read_probe_settings(const std::string& name);

// Sets each option that was not given on the command line. A context length given there also
// replaces a context range of the settings. InputError, naming `name`, for a key that is no probe
// option (with a list of those there are) and for values that the option does not take.
void apply_settings(const std::vector<profiler::ProbeSetting>& settings,
                    const std::string& name,
                    ProbeOptions& options);

}  // namespace headscope::cli
