// The options of `headscope profile` that say which probes are put to the model.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "outputs/provenance.h"
#include "profiler/probe.h"
#include "profiler/probe_grid.h"
#include "profiler/prompt_format.h"

namespace headscope::cli {

struct ProbeOptions {
  std::string needles;   // a needle file; empty = built in
  std::string haystack;  // a file or folder; empty = built-in prose
  std::vector<std::string> families = {"needle"};
  std::string format = "auto";  // auto, chat, raw
  profiler::ProbeGridOptions grid;

  // InputError for what can be told before a model is opened.
  void validate() const;
  // Of all probes, for the estimate of a dry run: how many, tokens of the longest, tokens in all.
  [[nodiscard]] int64_t num_probes() const;
  [[nodiscard]] int64_t longest_context() const;
  [[nodiscard]] int64_t prompt_tokens() const;
  // What the profile's provenance says of them.
  void describe(const profiler::PromptWriter& writer, Provenance& provenance) const;
};

void add_probe_options(CLI::App& app, ProbeOptions& options);

[[nodiscard]] std::vector<profiler::Probe> build_probes(const ProbeOptions& options,
                                                        const profiler::PromptWriter& writer);

}  // namespace headscope::cli
