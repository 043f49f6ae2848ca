#include "profiler/profile_run.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "model/rotary.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/mode_report.h"
#include "profiler/cli/probe_options.h"
#include "profiler/cli/profile_result.h"
#include "profiler/probe_rounds.h"
#include "profiler/question_batch.h"
#include "profiler/scorer_registry.h"
#include "profiler/tcp_ranks.h"

namespace headscope::cli {
namespace {

struct ProfileCommand {
  std::string model;
  std::string out;
  std::string span = "needle";
  std::string mix;
  bool resume = false;
  bool default_scores = true;
  bool until_stable = false;
  int64_t max_probes = 512;
  analysis::StopOptions stop;
  int64_t compare_exact = -1;  // probes; -1 = default_comparison()
  ProbeOptions probes;
  profiler::ProfileOptions run;
};

constexpr const char* kComplete = "complete";

// A finished profile under --resume is left as it is; so is one that was finished before the
// launcher started the ranks again (with --force it may be an older one). InputError where the
// output may not be written.
std::string state_of_output(const Session& session,
                            const ProfileCommand& command,
                            const profiler::RankPlace& place) {
  std::error_code ignored;
  const bool resume = command.resume || (place.restarted && !session.common.force);
  if (resume && std::filesystem::exists(command.out, ignored)) return kComplete;
  outputs::check_output_path(command.out, session.common.force);
  return "to be written";
}

void emit_complete(Session& session, const ProfileCommand& command) {
  profiler::ProfileOutcome outcome;
  outcome.profile = outputs::read_profile(command.out);
  outcome.num_resumed = static_cast<int64_t>(outcome.profile.probes.size());
  profiler::TrialLog(command.out).discard_leftovers();
  session.console.message(command.out + " is complete: nothing to do");
  emit_profile(session, outcome, command.out);
}

// Probes of exact mode beside a run of shared mode.
int64_t num_compared(const ProfileCommand& command, int64_t num_questions) {
  return command.compare_exact >= 0 ? command.compare_exact
                                    : profiler::default_comparison(num_questions);
}

void dry_run(Session& session, ProfileCommand& command) {
  const auto source = model::open_model_source(command.model);
  command.probes.fit_to_model(model::position_limit(source->config()), session.console);
  profiler::RunSize size;
  size.longest_context = command.probes.longest_context() + command.run.max_answer_tokens;
  size.prompt_tokens = command.probes.prompt_tokens();
  size.chunk_tokens = command.run.chunk_tokens;
  if (command.probes.is_shared()) {
    // Questions are some 40 rows each, of which 5 emit an answer.
    size.chunk_tokens = std::max(size.chunk_tokens, profiler::kBatchRows);
    size.logit_rows = profiler::kBatchRows / 8;
    ProbeOptions exact = command.probes;
    exact.mode = "exact";
    size.prompt_tokens +=
        num_compared(command, exact.num_probes()) * exact.prompt_tokens() / exact.num_probes();
  }
  emit_estimate(session, command.model, size);
}

std::unique_ptr<profiler::RankGroup> join(const Session& session,
                                          const profiler::RankPlace& place) {
  auto ranks = profiler::join_ranks(place, [&] { return session.console.interrupted(); });
  if (!ranks) throw Interrupted("interrupted: not all ranks had come, nothing was done");
  return ranks;
}

// How far shared mode agrees with exact mode goes into the profile.
void add_mode_agreement(const profiler::MeasuredModel& model,
                        const profiler::PromptWriter& writer,
                        const ProfileCommand& command,
                        Session& session,
                        HeadProfile& profile) {
  const int64_t count = num_compared(command, std::ssize(profile.probes));
  if (count == 0) return;
  const Json agreement = mode_agreement_json(compare_with_exact(
      model, build_exact_twins(command.probes, writer), profile, command.run, count, session));
  profile.provenance.options[kModeAgreementOption] = agreement.dump();
}

// The probes of the run; of an open-ended one the most, in the order in which they are put.
std::vector<profiler::Probe> probes_to_put(const ProfileCommand& command,
                                           const profiler::PromptWriter& writer) {
  std::vector<profiler::Probe> probes = build_probes(command.probes, writer);
  if (!command.until_stable) return probes;
  probes = profiler::mixed_order(std::move(probes), command.probes.request.grid.seed);
  if (std::ssize(probes) > command.max_probes) {
    probes.resize(static_cast<size_t>(command.max_probes));
  }
  return probes;
}

void measure(Session& session, ProfileCommand& command, profiler::RankGroup& ranks) {
  const auto started = std::chrono::steady_clock::now();
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.probes.format));
  session.console.message("prompt format " + writer.format_name() +
                          (writer.note().empty() ? "" : ": " + writer.note()));
  command.probes.fit_to_model(model::position_limit(model.decoder->config()), session.console);
  const std::vector<profiler::Probe> probes = probes_to_put(command, writer);
  if (command.default_scores) command.run.scores = profiler::default_scores(probes);

  Provenance made = session.provenance(model);
  command.probes.describe(writer, made);
  profiler::TrialLog log(command.out, ranks.size() > 1 ? ranks.rank() : -1, session.common.force);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  profiler::ProfileOutcome outcome =
      profiler::profile_heads(measured, probes, command.run, made, session.console, &log, &ranks);
  if (!outcome.complete) {
    throw Interrupted("interrupted: " + std::to_string(outcome.profile.probes.size()) + " of " +
                      std::to_string(probes.size()) + " probes are saved in " + log.path() +
                      ". Run the same command again (--resume) to go on.");
  }
  if (ranks.rank() > 0) return;
  if (command.probes.is_shared()) {
    add_mode_agreement(measured, writer, command, session, outcome.profile);
  }
  outcome.profile.provenance.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  outputs::write_profile(outcome.profile, command.out, session.common.force);
  log.discard();
  emit_profile(session, outcome, command.out);
}

void settle_stop(ProfileCommand& command) {
  if (!command.until_stable) return;
  if (command.probes.is_shared()) {
    throw InputError("--until-stable", "--mode exact", "--mode shared",
                     "Questions that share a context are put together, not one by one.");
  }
  command.probes.grow_to(command.max_probes);
  command.stop.seed = command.probes.request.grid.seed;
  command.run.until_stable = command.stop;
}

void run_profile(Session& session, ProfileCommand& command) {
  session.apply_common();
  const profiler::RankPlace place = profiler::rank_place();
  session.take_place(place);
  command.probes.apply_preset();
  command.probes.request.grid.seed = session.common.seed;
  command.run.srh_span =
      command.span == "answer" ? profiler::SpanChoice::kAnswer : profiler::SpanChoice::kNeedle;
  command.run.mode =
      command.probes.is_shared() ? profiler::ProfileMode::kShared : profiler::ProfileMode::kExact;
  command.run.mix = analysis::parse_family_mix(command.mix);
  command.probes.validate();
  settle_stop(command);
  if (session.common.dry_run) return dry_run(session, command);
  const auto ranks = join(session, place);
  // Rank 0 looks, so that all do the same whatever it writes meanwhile.
  const auto state =
      ranks->agree("output", place.rank == 0 ? state_of_output(session, command, place) : "",
                   [&session] { return session.console.interrupted(); });
  if (!state) throw Interrupted("interrupted: nothing was done");
  if (*state == kComplete) {
    if (place.rank == 0) emit_complete(session, command);
    return;
  }
  measure(session, command, *ranks);
}

}  // namespace

void setup_profile(CLI::App& app, Session& session) {
  auto command = std::make_shared<ProfileCommand>();
  CLI::App* sub = app.add_subcommand("profile", "Scores every query head with retrieval probes");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--out", command->out, "The profile to write (HDF5)")->required();
  sub->add_option("--scores", command->run.scores,
                  "Scores, comma-separated (default: all that the probes can tell)")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::scorer_names()))
      ->each([command](const std::string&) { command->default_scores = false; });
  add_probe_options(*sub, command->probes);
  add_mode_options(*sub, command->probes);
  sub->add_option("--compare-exact", command->compare_exact,
                  "Shared mode: how many of its questions are also asked alone, to tell its rank "
                  "correlation to exact mode (default: a twentieth, 4 to 24; 0 = none)")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--span", command->span, "What srh sums over: the needle statement or the answer")
      ->check(CLI::IsMember({"needle", "answer"}))
      ->capture_default_str();
  sub->add_option(
      "--mix", command->mix,
      "Weights of the families in the mean scores, as number=2,word=1 (default: equal)");
  sub->add_option("--max-answer-tokens", command->run.max_answer_tokens,
                  "Decoded tokens at most, per probe")
      ->capture_default_str();
  sub->add_flag("--resume", command->resume,
                "Leave an output that is complete as it is (unfinished runs go on anyway)");
  CLI::Option* until =
      sub->add_flag("--until-stable", command->until_stable,
                    "Put probes in a mixed order only until the top heads would be found again");
  sub->add_option("--max-probes", command->max_probes, "With --until-stable: probes at most")
      ->needs(until)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--stable-overlap", command->stop.overlap,
                  "With --until-stable: how much of the top tenth of the heads must be found again")
      ->needs(until)
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  sub->add_option("--stable-confidence", command->stop.confidence,
                  "With --until-stable: in what share of repetitions")
      ->needs(until)
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_profile(session, *command); });
}

}  // namespace headscope::cli
