// One setup function per subcommand: adds it to the program; CLI11 runs it when it was chosen.
#pragma once

#include <CLI/CLI.hpp>

#include "profiler/cli/session.h"

namespace headscope::cli {

void setup_inspect(CLI::App& app, Session& session);
void setup_tokenize(CLI::App& app, Session& session);
void setup_trace(CLI::App& app, Session& session);
void setup_generate(CLI::App& app, Session& session);
void setup_profile(CLI::App& app, Session& session);
void setup_merge(CLI::App& app, Session& session);
void setup_calibrate(CLI::App& app, Session& session);
void setup_check_plan(CLI::App& app, Session& session);
void setup_plan(CLI::App& app, Session& session);
void setup_heatmap(CLI::App& app, Session& session);
void setup_evaluate(CLI::App& app, Session& session);
void setup_ablate(CLI::App& app, Session& session);
void setup_selftest(CLI::App& app, Session& session);
void setup_convert(CLI::App& app, Session& session);
void setup_tune(CLI::App& app, Session& session);

}  // namespace headscope::cli
