// Pictures of an evaluation: needles by depth and length, and accuracy against what is kept.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "profiler/cli/session.h"

namespace headscope::cli {

struct EvaluationPicture {
  std::string kind;                 // "niah" or "frontier"; empty = niah where needles had depths
  std::string task;                 // niah: empty = the first task with depths
  std::string method;               // niah: empty = the first one besides the full cache
  std::optional<double> retention;  // niah: default the smallest
  std::optional<int64_t> budget;    // niah: tokens per KV head, instead of a retention
};

void add_evaluation_picture_options(CLI::App& app, EvaluationPicture& picture);

// Draws the evaluation at `path`. InputError where it holds nothing of what is asked for.
void draw_evaluation(Session& session,
                     const EvaluationPicture& picture,
                     const std::string& path,
                     const std::string& out);

}  // namespace headscope::cli
