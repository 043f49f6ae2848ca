#include "profiler/ablate_run.h"

#include <algorithm>
#include <chrono>
#include <sstream>

#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/probe_options.h"

namespace headscope::cli {
namespace {

// Added to --seed: probes, and prompts for the means, that neither a profile nor an evaluation of
// the same seed sees.
constexpr uint64_t kProbeSeedOffset = 2000003;
constexpr uint64_t kMeanSeedOffset = 3000017;

struct AblateCommand {
  std::string model;
  std::string profile;
  std::vector<std::string> scores = {"srh"};
  int64_t top = 10;
  int64_t draws = 3;
  std::string mode = "zero";
  int64_t mean_prompts = 4;
  ProbeOptions probes;
  profiler::AblateOptions run;

  AblateCommand() {
    grid().context_lengths = {512};
    grid().depths = {0.1, 0.3, 0.5, 0.7, 0.9};
    grid().needles_per_cell = 5;
    grid().controls_per_length = 0;  // a control has no right answer
  }
  [[nodiscard]] profiler::ProbeGridOptions& grid() { return probes.request.grid; }
  [[nodiscard]] const profiler::ProbeGridOptions& grid() const { return probes.request.grid; }
  [[nodiscard]] int64_t num_arms() const {
    return 1 + static_cast<int64_t>(scores.size()) * (2 + draws);
  }
};

Json row_json(const profiler::AblationRow& row) {
  Json heads = Json::array();
  for (const HeadId& head : row.heads) heads.push_back({head.layer, head.head});
  return {{"which", row.which},
          {"score", row.score},
          {"accuracy", row.accuracy},
          {"ci_low", row.ci_low},
          {"ci_high", row.ci_high},
          {"cost", row.cost},
          {"cost_low", row.cost_low},
          {"cost_high", row.cost_high},
          {"num_probes", row.num_probes},
          {"num_needles", row.num_needles},
          {"layer_matched", row.layer_matched},
          {"heads", heads}};
}

Json result_json(const profiler::AblateOutcome& outcome,
                 const AblateCommand& command,
                 uint64_t profile_seed,
                 double seconds) {
  Json json{{"rows", Json::array()},
            {"mode", command.mode},
            {"top", command.top},
            {"num_probes", outcome.num_probes},
            {"probe_seed", command.grid().seed},
            {"profile_seed", profile_seed},
            {"complete", outcome.complete},
            {"seconds", seconds}};
  for (const profiler::AblationRow& row : outcome.rows) json["rows"].push_back(row_json(row));
  return json;
}

std::string heads_text(const std::vector<HeadId>& heads) {
  std::string text;
  for (const HeadId& head : heads) {
    text += (text.empty() ? "" : " ") + head_name(head);
  }
  return text;
}

std::string result_text(const profiler::AblateOutcome& outcome, const AblateCommand& command) {
  std::ostringstream text;
  char line[200];
  std::snprintf(line, sizeof line, "%-10s %-12s %-22s %-24s %s\n", "score", "masked",
                "accuracy (95 % CI)", "cost in points (95 % CI)", "heads");
  text << line;
  bool unmatched = false;
  for (const profiler::AblationRow& row : outcome.rows) {
    char accuracy[48], cost[64];
    std::snprintf(accuracy, sizeof accuracy, "%.2f (%.2f to %.2f)", row.accuracy, row.ci_low,
                  row.ci_high);
    std::snprintf(cost, sizeof cost, "%.0f (%.0f to %.0f)", 100 * row.cost, 100 * row.cost_low,
                  100 * row.cost_high);
    std::snprintf(line, sizeof line, "%-10s %-12s %-22s %-24s ", row.score.c_str(),
                  (row.which + (row.layer_matched ? "" : " *")).c_str(), accuracy,
                  row.which == "none" ? "" : cost);
    text << line << heads_text(row.heads) << "\n";
    unmatched = unmatched || !row.layer_matched;
  }
  if (unmatched) text << "* a layer had too few other heads: some are of the nearest layers\n";
  text << outcome.num_probes << " fresh probes (seed " << command.grid().seed
       << ", none of them the profile's), heads masked to their "
       << (command.mode == "mean" ? "mean output" : "zero output") << " in prefill and decode";
  return text.str();
}

void dry_run(const Session& session, const AblateCommand& command) {
  profiler::RunSize size;
  size.longest_context = command.probes.longest_context() + command.run.answers.max_answer_tokens;
  size.prompt_tokens = command.num_arms() * command.probes.prompt_tokens();
  size.decode_tokens =
      command.num_arms() * command.probes.num_probes() * command.run.answers.extra_answer_tokens;
  size.chunk_tokens = command.run.answers.chunk_tokens;
  emit_estimate(session, command.model, size);
}

std::vector<profiler::AblationArm> arms_of(const HeadProfile& profile,
                                           const AblateCommand& command,
                                           uint64_t seed) {
  std::vector<profiler::AblationArm> arms;
  for (const std::string& score : command.scores) {
    const auto table = profile.scores.find(score);
    if (table == profile.scores.end()) {
      std::string known;
      for (const auto& [name, unused] : profile.scores) known += (known.empty() ? "" : ", ") + name;
      throw InputError("--score", "a score that " + command.profile + " holds: " + known, score,
                       "Profile again with --scores " + score + ".");
    }
    const auto of_score =
        profiler::choose_arms(score, table->second.mean, command.top, command.draws, seed);
    arms.insert(arms.end(), of_score.begin(), of_score.end());
  }
  return arms;
}

// Probes of a seed of their own. Only those that ask for something: a control has no right answer.
std::vector<profiler::Probe> questions(AblateCommand& command,
                                       const profiler::PromptWriter& writer,
                                       uint64_t seed) {
  command.grid().seed = seed;
  std::vector<profiler::Probe> probes = build_probes(command.probes, writer);
  std::erase_if(probes, [](const profiler::Probe& probe) {
    return probe.is_control || probe.repeat_period > 0;
  });
  return probes;
}

// Never the profile's own seed, whatever both were given.
uint64_t fresh_seed(uint64_t seed, uint64_t profile_seed) {
  return seed == profile_seed ? seed + 1 : seed;
}

void run_ablate(Session& session, AblateCommand& command) {
  session.apply_common();
  command.probes.apply_preset();
  command.probes.validate();
  command.run.mode = command.mode == "mean" ? profiler::MaskMode::kMean : profiler::MaskMode::kZero;
  command.run.seed = session.common.seed;
  if (session.common.dry_run) return dry_run(session, command);
  const HeadProfile profile = outputs::read_profile(command.profile);
  const auto arms = arms_of(profile, command, session.common.seed);

  const auto started = std::chrono::steady_clock::now();
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  outputs::check_model_match("profile " + command.profile, profile.model, model.identity,
                             session.common.force);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.probes.format));
  std::vector<profiler::Probe> mean_prompts;
  if (command.mode == "mean") {
    mean_prompts = questions(command, writer, session.common.seed + kMeanSeedOffset);
    mean_prompts.resize(std::min(mean_prompts.size(), static_cast<size_t>(command.mean_prompts)));
  }
  const std::vector<profiler::Probe> probes = questions(
      command, writer, fresh_seed(session.common.seed + kProbeSeedOffset, profile.provenance.seed));
  profiler::check_fresh(probes, profile);

  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  const profiler::AblateOutcome outcome =
      profiler::ablate(measured, arms, probes, mean_prompts, command.run, session.console);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (outcome.num_probes > 0) {
    session.emit(result_json(outcome, command, profile.provenance.seed, seconds),
                 result_text(outcome, command));
  }
  if (!outcome.complete) {
    throw Interrupted("interrupted: the table is of " + std::to_string(outcome.num_probes) +
                      " of " + std::to_string(probes.size()) +
                      " probes and is not saved. Run the same command again for all of them.");
  }
}

}  // namespace

void setup_ablate(CLI::App& app, Session& session) {
  auto command = std::make_shared<AblateCommand>();
  CLI::App* sub = app.add_subcommand(
      "ablate", "Causal check: what answers cost when a score's top heads are masked");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--profile", command->profile, "The profile whose heads are checked")->required();
  sub->add_option("--score", command->scores, "Scores to check, comma-separated")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--top", command->top, "How many of the best heads are masked together")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--draws", command->draws, "Random controls in the same layers, per score")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  sub->add_option("--mode", command->mode, "What a masked head puts out: zero or its mean")
      ->check(CLI::IsMember({"zero", "mean"}))
      ->capture_default_str();
  sub->add_option("--mean-prompts", command->mean_prompts,
                  "Prompts that the means are measured on (--mode mean)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_probe_options(*sub, command->probes);
  add_common_options(*sub, session, {Takes::kModel, Takes::kDryRun});
  sub->add_flag("--force", session.common.force,
                "Accept a profile of another checkpoint of the same shape");
  sub->callback([command, &session] { run_ablate(session, *command); });
}

}  // namespace headscope::cli
