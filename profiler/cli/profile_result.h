// What `headscope profile` says of a finished profile: the JSON object of docs/cli.md, and the
// lines for people.
#pragma once

#include <string>

#include "profiler/cli/session.h"
#include "profiler/profile_run.h"

namespace headscope::cli {

// `more`: further keys of the JSON object.
void emit_profile(const Session& session,
                  const profiler::ProfileOutcome& outcome,
                  const std::string& path,
                  const Json& more = Json::object());

}  // namespace headscope::cli
