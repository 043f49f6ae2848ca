#include "profiler/cli/probe_options.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>

#include "outputs/input_error.h"
#include "profiler/cli/probe_settings.h"
#include "profiler/haystack.h"
#include "profiler/needle_file.h"
#include "profiler/option_check.h"
#include "profiler/probe_audit.h"
#include "profiler/probe_preset.h"

namespace headscope::cli {
namespace {

constexpr int64_t kAnswerRoom = 64;  // positions that a range of lengths leaves for the answer
// Roughly, for the estimate of a dry run: tokens of a needle's statement, and of a question with
// what follows it.
constexpr int64_t kStatementTokens = 20;
constexpr int64_t kQuestionTokens = 40;

// The user's own needles and text, where given.
struct OwnTexts {
  std::optional<std::vector<profiler::Needle>> needles;
  std::optional<profiler::Haystack> haystack;

  explicit OwnTexts(const ProbeOptions& options) {
    if (!options.needles.empty()) needles = profiler::read_needle_file(options.needles);
    if (!options.haystack.empty()) haystack = profiler::Haystack::read(options.haystack);
  }
};

profiler::FamilyRequest request_of(const ProbeOptions& options) {
  profiler::FamilyRequest request = options.request;
  request.questions = profiler::parse_question_choice(options.questions);
  return request;
}

// Of a family, in either mode.
int64_t questions_per_length(const ProbeOptions& options) {
  const profiler::ProbeGridOptions& grid = options.request.grid;
  return std::ssize(grid.depths) * grid.needles_per_cell;
}

// Group by group, then what stands alone.
std::vector<profiler::Probe> shared_probes(const ProbeOptions& options,
                                           const profiler::PromptWriter& writer) {
  OwnTexts own(options);
  profiler::SharedProbes shared = profiler::build_shared_family_probes(
      request_of(options), options.needle_share, own.needles ? &*own.needles : nullptr,
      own.haystack ? &*own.haystack : nullptr, writer);
  std::vector<profiler::Probe> probes;
  for (profiler::SharedGroup& group : shared.groups) {
    std::move(group.probes.begin(), group.probes.end(), std::back_inserter(probes));
  }
  std::move(shared.alone.begin(), shared.alone.end(), std::back_inserter(probes));
  profiler::refuse_duplicate_prompts(probes);
  return probes;
}

std::string preset_names() {
  std::string names;
  for (const profiler::ProbePreset& preset : profiler::probe_presets()) {
    names += (names.empty() ? "" : ", ") + preset.name;
  }
  return names;
}

}  // namespace

void ProbeOptions::apply_preset() {
  if (!probes.empty()) apply_settings(read_probe_settings(probes), probes, *this);
}

void ProbeOptions::fit_to_model(int64_t positions, profiler::ProgressSink& messages) {
  if (context_range.empty()) return;
  if (context_range.size() != 3) {
    throw InputError("--context-range", "three numbers: shortest, longest, how many",
                     std::to_string(context_range.size()));
  }
  const int64_t limit = positions - kAnswerRoom;
  request.grid.context_lengths =
      profiler::even_lengths(context_range[0], context_range[1], context_range[2], limit);
  if (limit < context_range[1]) {
    messages.message("context lengths end at " + std::to_string(limit) + " tokens instead of " +
                     std::to_string(context_range[1]) + ": the model has " +
                     std::to_string(positions) + " positions");
  }
}

void ProbeOptions::grow_to(int64_t wanted) {
  if (!probes.empty() || !needles.empty() || app->count("--needles-per-cell") > 0) return;
  profiler::ProbeGridOptions& grid = request.grid;
  const int64_t before = grid.needles_per_cell, controls = grid.controls_per_length;
  const int64_t most = request.num_needles > 0 ? request.num_needles : profiler::kMostNeedles;
  while (num_probes() < wanted && grid.needles_per_cell < most) {
    ++grid.needles_per_cell;
    grid.controls_per_length = (controls * grid.needles_per_cell + before - 1) / before;
  }
}

void ProbeOptions::validate() const {
  const profiler::ProbeGridOptions& grid = request.grid;
  if (grid.context_lengths.empty() || grid.depths.empty()) {
    throw InputError("probes", "at least one context length and one depth", "none");
  }
  static_cast<void>(request_of(*this));
  if (!(needle_share > 0.0 && needle_share < 1.0)) {
    throw InputError("--needle-share", "a number above 0 and below 1",
                     std::to_string(needle_share));
  }
  static_cast<void>(profiler::probes_per_length(request));  // names families
}

int64_t ProbeOptions::num_probes() const {
  const std::vector<int64_t> per_length = profiler::probes_per_length(request);
  return std::accumulate(per_length.begin(), per_length.end(), int64_t{0}) *
         std::ssize(request.grid.context_lengths);
}

int64_t ProbeOptions::longest_context() const {
  const auto& lengths = request.grid.context_lengths;
  return *std::max_element(lengths.begin(), lengths.end());
}

int64_t ProbeOptions::prompt_tokens() const {
  const profiler::ProbeGridOptions& grid = request.grid;
  const int64_t all_lengths =
      std::accumulate(grid.context_lengths.begin(), grid.context_lengths.end(), int64_t{0});
  const int64_t per_length = num_probes() / std::ssize(grid.context_lengths);
  if (!is_shared()) return per_length * all_lengths;
  int64_t tokens = per_length * std::ssize(grid.context_lengths) * kQuestionTokens;
  for (const int64_t length : grid.context_lengths) {
    const auto room = std::max<int64_t>(
        kStatementTokens, static_cast<int64_t>(needle_share * static_cast<double>(length)));
    const int64_t contexts = (per_length * kStatementTokens + room - 1) / room;
    tokens += contexts * length;
  }
  return tokens;
}

void ProbeOptions::describe(const profiler::PromptWriter& writer, Provenance& provenance) const {
  auto& stored = provenance.options;
  const profiler::ProbeGridOptions& grid = request.grid;
  stored["probes"] = probes.empty() ? "as given" : probes;
  stored["needles"] = needles.empty() ? "built-in" : needles;
  stored["haystack"] = haystack.empty() ? "built-in prose" : haystack;
  stored["families"] = profiler::join_values(request.families);
  stored["questions"] = questions;
  if (is_shared()) stored["needle_share"] = profiler::join_values(std::vector{needle_share});
  stored["context_lengths"] = profiler::join_values(grid.context_lengths);
  stored["depths"] = profiler::join_values(grid.depths);
  stored["needles_per_cell"] = std::to_string(grid.needles_per_cell);
  stored["num_needles"] = std::to_string(request.num_needles);
  stored["controls"] = std::to_string(grid.controls_per_length);
  stored["prompt_format"] = writer.format_name();
}

void add_probe_options(CLI::App& app, ProbeOptions& options) {
  options.app = &app;
  profiler::ProbeGridOptions& grid = options.request.grid;
  app.add_option("--probes", options.probes,
                 "A preset (" + preset_names() +
                     ") or a TOML or INI file of these options; "
                     "options given here win");
  app.add_option("--needles", options.needles, "Needles of your own (JSON lines)");
  app.add_option("--haystack", options.haystack, "A text file or a folder of .txt files");
  app.add_option("--context-lengths", grid.context_lengths,
                 "Tokens of the whole prompt, question and template included, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option(
         "--context-range", options.context_range,
         "SHORTEST,LONGEST,COUNT: evenly spaced context lengths, up to what the model holds")
      ->delimiter(',')
      ->expected(3);
  app.add_option("--depths", grid.depths, "Depths 0..1 of the needle, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  std::string names = "all";
  for (const std::string& name : profiler::probe_family_names()) names += ", " + name;
  app.add_option("--families", options.request.families, "Among " + names)
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--questions", options.questions,
                 "In the statements' own words (literal), in others (paraphrased), or both")
      ->check(CLI::IsMember({"literal", "paraphrased", "both"}))
      ->capture_default_str();
  app.add_option("--needles-per-cell", grid.needles_per_cell,
                 "Probes per family, context length and depth")
      ->capture_default_str();
  app.add_option("--num-needles", options.request.num_needles,
                 "Different needles of a family; 0 = as many as there are probes, at most 500")
      ->capture_default_str();
  app.add_option("--controls", grid.controls_per_length,
                 "Probes without their needle, per family and context length")
      ->capture_default_str();
  app.add_option("--prompt-format", options.format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
}

void add_mode_options(CLI::App& app, ProbeOptions& options) {
  app.add_option(
         "--mode", options.mode,
         "exact: one needle to a haystack; shared: many needles to one, which is faster and "
         "another experiment")
      ->check(CLI::IsMember({"exact", "shared"}))
      ->capture_default_str();
  app.add_option("--needle-share", options.needle_share,
                 "Shared mode: share of a context's tokens for needles, at most")
      ->capture_default_str();
}

std::vector<profiler::Probe> build_probes(const ProbeOptions& options,
                                          const profiler::PromptWriter& writer) {
  if (options.is_shared()) return shared_probes(options, writer);
  OwnTexts own(options);
  return profiler::build_family_probes(request_of(options), own.needles ? &*own.needles : nullptr,
                                       own.haystack ? &*own.haystack : nullptr, writer);
}

std::vector<profiler::Probe> build_exact_twins(const ProbeOptions& options,
                                               const profiler::PromptWriter& writer) {
  ProbeOptions exact = options;
  exact.mode = "exact";
  // Shared mode asks the questions of one context length at all of them.
  const int64_t questions = questions_per_length(options);
  const bool both = options.questions == "both";
  int64_t& num_needles = exact.request.num_needles;
  if (num_needles == 0)
    num_needles = std::min(profiler::kMostNeedles, both ? (questions + 1) / 2 : questions);
  return build_probes(exact, writer);
}

}  // namespace headscope::cli
