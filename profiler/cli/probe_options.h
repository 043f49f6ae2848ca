// The options of `headscope profile` that say which probes are put to the model.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "outputs/provenance.h"
#include "profiler/probe.h"
#include "profiler/probes/family_probes.h"
#include "profiler/progress.h"
#include "profiler/prompt_format.h"

namespace headscope::cli {

struct ProbeOptions {
  std::string probes;    // a preset or a file of settings; empty = the options as they are
  std::string needles;   // a needle file; empty = built in
  std::string haystack;  // a file or folder; empty = built-in prose
  std::string questions = "literal";   // literal, paraphrased, both
  std::string format = "auto";         // auto, chat, raw
  std::string mode = "exact";          // exact, shared
  double needle_share = 0.4;           // shared: of a context's tokens, for statements at most
  std::vector<int64_t> context_range;  // shortest, longest, how many; empty = context_lengths
  profiler::FamilyRequest request{.grid = {.controls_per_length = 1}};

  // Takes over what --probes names; options given on the command line win. To be called once,
  // before all else. InputError: no such preset or file, unknown keys, values out of range.
  void apply_preset();

  // Makes context lengths of a range, up to what `positions` of the model leave beside an answer,
  // and says so where that is less than asked for.
  void fit_to_model(int64_t positions, profiler::ProgressSink& messages);

  // Raises the probes of a cell until the grid holds `num_probes` or a cell every needle; controls
  // keep their share. Where their number, a needle file or a preset was given, the grid stays as it
  // is.
  void grow_to(int64_t num_probes);

  // InputError for what can be told before a model is opened.
  void validate() const;
  // Of all probes, for the estimate of a dry run, after fit_to_model: how many, tokens of the
  // longest, tokens in all.
  [[nodiscard]] int64_t num_probes() const;
  [[nodiscard]] int64_t longest_context() const;
  [[nodiscard]] int64_t prompt_tokens() const;
  [[nodiscard]] bool is_shared() const { return mode == "shared"; }
  // What the profile's provenance says of them.
  void describe(const profiler::PromptWriter& writer, Provenance& provenance) const;

  CLI::App* app = nullptr;  // where the options were added; knows which were given
};

void add_probe_options(CLI::App& app, ProbeOptions& options);
// --mode and --needle-share.
void add_mode_options(CLI::App& app, ProbeOptions& options);

// Of the mode asked for.
[[nodiscard]] std::vector<profiler::Probe> build_probes(const ProbeOptions& options,
                                                        const profiler::PromptWriter& writer);

// The questions of shared mode, each alone in its haystack.
[[nodiscard]] std::vector<profiler::Probe> build_exact_twins(const ProbeOptions& options,
                                                             const profiler::PromptWriter& writer);

}  // namespace headscope::cli
