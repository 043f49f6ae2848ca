// What `headscope profile` says of a finished profile: the JSON object of docs/cli.md, and the
// lines for people.
#pragma once

#include <string>

#include "profiler/cli/session.h"
#include "profiler/profile_run.h"

namespace headscope::cli {

void emit_profile(const Session& session,
                  const profiler::ProfileOutcome& outcome,
                  const std::string& path);

}  // namespace headscope::cli
