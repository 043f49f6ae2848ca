// --dry-run of the measuring commands: what a run would need, from headers alone.
#pragma once

#include "profiler/cli/session.h"
#include "profiler/memory_estimate.h"

namespace headscope::cli {

// Prints peak memory (with its parts) and time; no weights are loaded.
void emit_estimate(const Session& session,
                   const std::string& model_path,
                   const profiler::RunSize& size);

}  // namespace headscope::cli
