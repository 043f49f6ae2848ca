// `inspect` of files: profiles, plans, evaluations and other projects' head files.
#pragma once

#include <string>

#include "profiler/cli/session.h"

namespace headscope::cli {

// False when `path` is no file of a kind known to outputs/ (then it may be a model).
bool inspect_file(const Session& session, const std::string& path);

}  // namespace headscope::cli
