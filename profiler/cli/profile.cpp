#include "profiler/profile_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "analysis/head_ranking.h"
#include "analysis/rank_correlation.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/needle.h"
#include "profiler/needle_file.h"
#include "profiler/probe_grid.h"
#include "profiler/scorer_registry.h"

namespace headscope::cli {
namespace {

struct ProfileCommand {
  std::string model;
  std::string out;
  std::string needles;
  std::string haystack;
  std::vector<std::string> families = {"needle"};
  std::string format = "auto";
  std::string span = "needle";
  bool resume = false;
  profiler::ProbeGridOptions grid;
  profiler::ProfileOptions run;
};

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

std::vector<profiler::Probe> build_probes(const ProfileCommand& command,
                                          const profiler::PromptWriter& writer) {
  const int64_t wanted =
      static_cast<int64_t>(command.grid.context_lengths.size() * command.grid.depths.size()) *
      command.grid.needles_per_cell;
  const std::vector<profiler::Needle> needles =
      command.needles.empty()
          ? profiler::built_in_needles(std::min<int64_t>(wanted, 500), command.grid.seed,
                                       needle_kinds(command.families))
          : profiler::read_needle_file(command.needles);
  profiler::Haystack haystack = command.haystack.empty()
                                    ? profiler::Haystack::prose(command.grid.seed)
                                    : profiler::Haystack::read(command.haystack);
  return profiler::build_probe_grid(command.grid, needles, haystack, writer);
}

// How far the ranking would move if measured again: random halves of the probes, needles kept
// whole.
Json stability_of(const HeadProfile& profile, const ScoreTable& table, uint64_t seed) {
  std::vector<std::string> clusters;
  for (const ProbeRecord& probe : profile.probes) clusters.push_back(probe.needle_id);
  analysis::SplitHalfOptions options;
  options.seed = seed;
  const ModelShape& shape = profile.model.shape;
  const analysis::SplitHalf halves =
      analysis::split_half(table.samples, static_cast<int64_t>(profile.probes.size()),
                           shape.num_layers * shape.num_query_heads, options, clusters);
  const auto number = [](double value) { return std::isnan(value) ? Json() : Json(value); };
  return {{"split_half_spearman", number(halves.spearman)},
          {"split_half_top_jaccard", number(halves.top_jaccard)},
          {"num_probes", halves.num_probes},
          {"num_needles", halves.num_clusters}};
}

Json result_json(const profiler::ProfileOutcome& outcome, uint64_t seed) {
  const HeadProfile& profile = outcome.profile;
  Json json{{"num_probes", profile.probes.size()}, {"num_successful", profile.num_successful()},
            {"num_resumed", outcome.num_resumed},  {"scores", Json::object()},
            {"stability", Json::object()},         {"seconds", profile.provenance.seconds}};
  for (const auto& [name, table] : profile.scores) {
    Json heads = Json::array();
    for (const analysis::RankedHead& head : analysis::rank_heads(table.mean)) {
      heads.push_back(Json::array(
          {head.head.layer, head.head.head, std::isnan(head.score) ? Json() : Json(head.score)}));
    }
    json["scores"][name] = {{"top_heads", heads}};
    json["stability"][name] = stability_of(profile, table, seed);
  }
  return json;
}

std::string result_text(const HeadProfile& profile, const Json& json, const std::string& out) {
  std::ostringstream text;
  text << "wrote " << out << ": " << profile.num_successful() << " of " << profile.probes.size()
       << " probes answered\n";
  text.precision(3);
  for (const auto& [name, unused] : profile.scores) {
    text << name << std::string(name.size() < 12 ? 12 - name.size() : 1, ' ');
    const Json& heads = json["scores"][name]["top_heads"];
    for (size_t i = 0; i < 8 && i < heads.size(); ++i) {
      text << (i ? "  " : "") << heads[i][0] << "-" << heads[i][1];
      if (!heads[i][2].is_null()) text << " " << heads[i][2].get<double>();
    }
    const Json& stable = json["stability"][name]["split_half_spearman"];
    if (!stable.is_null())
      text << "   (split-half rank correlation " << stable.get<double>() << ")";
    text << "\n";
  }
  if (profile.num_successful() == 0) {
    text << "No probe was answered: the scores are empty. Try shorter contexts "
            "(--context-lengths), or\n"
            "needles with an answer prefix.\n";
  }
  return text.str();
}

void emit_result(const Session& session,
                 const profiler::ProfileOutcome& outcome,
                 const std::string& out) {
  const Json json = result_json(outcome, session.common.seed);
  session.emit(json, result_text(outcome.profile, json, out));
}

// A finished profile under --resume is left as it is.
bool already_complete(Session& session, const ProfileCommand& command) {
  std::error_code ignored;
  if (!command.resume || !std::filesystem::exists(command.out, ignored)) return false;
  profiler::ProfileOutcome outcome;
  outcome.profile = outputs::read_profile(command.out);
  outcome.num_resumed = static_cast<int64_t>(outcome.profile.probes.size());
  session.console.message(command.out + " is complete: nothing to do");
  emit_result(session, outcome, command.out);
  return true;
}

void dry_run(const Session& session, const ProfileCommand& command) {
  profiler::RunSize size;
  const auto& lengths = command.grid.context_lengths;
  size.longest_context =
      *std::max_element(lengths.begin(), lengths.end()) + command.run.max_answer_tokens;
  const auto per_length =
      static_cast<int64_t>(command.grid.depths.size()) * command.grid.needles_per_cell;
  for (const int64_t length : lengths) size.prompt_tokens += length * per_length;
  size.chunk_tokens = command.run.chunk_tokens;
  emit_estimate(session, command.model, size);
}

void run_profile(Session& session, ProfileCommand& command) {
  session.apply_common();
  command.grid.seed = session.common.seed;
  command.run.srh_span =
      command.span == "answer" ? profiler::SpanChoice::kAnswer : profiler::SpanChoice::kNeedle;
  if (command.grid.context_lengths.empty() || command.grid.depths.empty()) {
    throw InputError("profile", "at least one context length and one depth", "none");
  }
  if (session.common.dry_run) return dry_run(session, command);
  if (already_complete(session, command)) return;
  outputs::check_output_path(command.out, session.common.force);

  const auto started = std::chrono::steady_clock::now();
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  session.console.message("prompt format " + writer.format_name() +
                          (writer.note().empty() ? "" : ": " + writer.note()));
  const std::vector<profiler::Probe> probes = build_probes(command, writer);

  Provenance made = session.provenance(model);
  made.options["needles"] = command.needles.empty() ? "built-in" : command.needles;
  made.options["haystack"] = command.haystack.empty() ? "built-in prose" : command.haystack;
  made.options["prompt_format"] = writer.format_name();
  profiler::TrialStore store(command.out, command.resume);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  profiler::ProfileOutcome outcome =
      profiler::profile_heads(measured, probes, command.run, made, session.console, &store);
  if (!outcome.complete) {
    throw Interrupted("interrupted: " + std::to_string(outcome.profile.probes.size()) + " of " +
                      std::to_string(probes.size()) + " probes are saved in " +
                      store.partial_path() + ". Run the same command with --resume to go on.");
  }
  outcome.profile.provenance.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  outputs::write_profile(outcome.profile, command.out, session.common.force);
  store.discard();
  emit_result(session, outcome, command.out);
}

}  // namespace

void setup_profile(CLI::App& app, Session& session) {
  auto command = std::make_shared<ProfileCommand>();
  CLI::App* sub = app.add_subcommand("profile", "Scores every query head with retrieval probes");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--out", command->out, "The profile to write (HDF5)")->required();
  sub->add_option("--scores", command->run.scores, "Scores, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::scorer_names()))
      ->capture_default_str();
  sub->add_option("--needles", command->needles, "Needles of your own (JSON lines)");
  sub->add_option("--haystack", command->haystack, "A text file or a folder of .txt files");
  sub->add_option("--context-lengths", command->grid.context_lengths,
                  "Tokens of the whole prompt, question and template included, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--depths", command->grid.depths, "Depths 0..1 of the needle, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--families", command->families, "needle (all built-in kinds), number, word")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--needles-per-cell", command->grid.needles_per_cell,
                  "Probes per context length and depth")
      ->capture_default_str();
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  sub->add_option("--span", command->span, "What srh sums over: the needle statement or the answer")
      ->check(CLI::IsMember({"needle", "answer"}))
      ->capture_default_str();
  sub->add_option("--max-answer-tokens", command->run.max_answer_tokens,
                  "Decoded tokens at most, per probe")
      ->capture_default_str();
  sub->add_flag("--resume", command->resume, "Go on where an interrupted run stopped");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_profile(session, *command); });
}

}  // namespace headscope::cli
