#include "profiler/cli/probe_options.h"

#include <algorithm>
#include <numeric>

#include "outputs/input_error.h"
#include "profiler/haystack.h"
#include "profiler/needle.h"
#include "profiler/needle_file.h"

namespace headscope::cli {
namespace {

// "needle" is every built-in kind of needle; a kind may also be named on its own.
std::vector<std::string> needle_kinds(const std::vector<std::string>& families) {
  const std::vector<std::string> known = profiler::needle_families();
  std::vector<std::string> kinds;
  for (const std::string& family : families) {
    if (family == "needle") {
      kinds.insert(kinds.end(), known.begin(), known.end());
    } else if (std::find(known.begin(), known.end(), family) != known.end()) {
      kinds.push_back(family);
    } else {
      std::string names = "needle";
      for (const std::string& name : known) names += ", " + name;
      throw InputError("--families", "families among " + names, family);
    }
  }
  std::sort(kinds.begin(), kinds.end());
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  return kinds;
}

}  // namespace

void ProbeOptions::validate() const {
  if (grid.context_lengths.empty() || grid.depths.empty()) {
    throw InputError("profile", "at least one context length and one depth", "none");
  }
}

int64_t ProbeOptions::num_probes() const {
  return static_cast<int64_t>(grid.context_lengths.size() * grid.depths.size()) *
         grid.needles_per_cell;
}

int64_t ProbeOptions::longest_context() const {
  return *std::max_element(grid.context_lengths.begin(), grid.context_lengths.end());
}

int64_t ProbeOptions::prompt_tokens() const {
  const auto per_length = static_cast<int64_t>(grid.depths.size()) * grid.needles_per_cell;
  return per_length *
         std::accumulate(grid.context_lengths.begin(), grid.context_lengths.end(), int64_t{0});
}

void ProbeOptions::describe(const profiler::PromptWriter& writer, Provenance& provenance) const {
  provenance.options["needles"] = needles.empty() ? "built-in" : needles;
  provenance.options["haystack"] = haystack.empty() ? "built-in prose" : haystack;
  provenance.options["prompt_format"] = writer.format_name();
}

void add_probe_options(CLI::App& app, ProbeOptions& options) {
  app.add_option("--needles", options.needles, "Needles of your own (JSON lines)");
  app.add_option("--haystack", options.haystack, "A text file or a folder of .txt files");
  app.add_option("--context-lengths", options.grid.context_lengths,
                 "Tokens of the whole prompt, question and template included, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--depths", options.grid.depths, "Depths 0..1 of the needle, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--families", options.families, "needle (all built-in kinds), number, word")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--needles-per-cell", options.grid.needles_per_cell,
                 "Probes per context length and depth")
      ->capture_default_str();
  app.add_option("--prompt-format", options.format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
}

std::vector<profiler::Probe> build_probes(const ProbeOptions& options,
                                          const profiler::PromptWriter& writer) {
  const std::vector<profiler::Needle> needles =
      options.needles.empty()
          ? profiler::built_in_needles(std::min<int64_t>(options.num_probes(), 500),
                                       options.grid.seed, needle_kinds(options.families))
          : profiler::read_needle_file(options.needles);
  profiler::Haystack haystack = options.haystack.empty()
                                    ? profiler::Haystack::prose(options.grid.seed)
                                    : profiler::Haystack::read(options.haystack);
  return profiler::build_probe_grid(options.grid, needles, haystack, writer);
}

}  // namespace headscope::cli
