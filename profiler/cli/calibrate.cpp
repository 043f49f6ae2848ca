#include "profiler/calibrate_run.h"

#include <chrono>
#include <filesystem>
#include <sstream>

#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::cli {
namespace {

struct CalibrateCommand {
  std::string model;
  std::string profile;
  std::string text;
  std::string format = "auto";
  std::vector<std::string> tasks = profiler::default_task_names();
  int64_t samples = 4;
  int64_t context_length = 1024;
  bool resume = false;
  profiler::CalibrateOptions run;
};

std::vector<profiler::TaskSample> build_samples(const Session& session,
                                                const CalibrateCommand& command,
                                                const profiler::PromptWriter& writer) {
  std::optional<profiler::Haystack> filler;
  if (!command.text.empty()) filler = profiler::Haystack::read(command.text);
  std::vector<profiler::TaskSample> samples;
  for (const std::string& task : command.tasks) {
    const profiler::TaskRequest request{task, command.samples, command.context_length,
                                        session.common.seed};
    auto built = build_task_samples(request, writer, filler ? &*filler : nullptr);
    samples.insert(samples.end(), std::make_move_iterator(built.begin()),
                   std::make_move_iterator(built.end()));
  }
  return samples;
}

// Layer errors at a budget that people know (32) and at the others, one line per layer.
std::string error_table(const ErrorCurves& curves, int64_t num_layers) {
  std::ostringstream text;
  text << "relative output error per layer (rows) at tokens kept (columns)\n      ";
  std::vector<size_t> shown;
  for (size_t b = 0; b < curves.budgets.size(); ++b) {
    if (curves.budgets[b] == 8 || curves.budgets[b] == 32 || curves.budgets[b] == 64 ||
        curves.budgets[b] == 128 || curves.budgets[b] == 256 || curves.budgets[b] == 512) {
      shown.push_back(b);
    }
  }
  char cell[32];
  for (const size_t b : shown) {
    std::snprintf(cell, sizeof cell, "%8lld", static_cast<long long>(curves.budgets[b]));
    text << cell;
  }
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    std::snprintf(cell, sizeof cell, "\n%5lld ", static_cast<long long>(layer));
    text << cell;
    for (const size_t b : shown) {
      std::snprintf(cell, sizeof cell, "%8.3f",
                    static_cast<double>(
                        curves.layer[static_cast<size_t>(layer) * curves.budgets.size() + b]));
      text << cell;
    }
  }
  return text.str();
}

void emit_result(const Session& session,
                 const CalibrateCommand& command,
                 const HeadProfile& profile,
                 double seconds) {
  const ErrorCurves& curves = profile.error_curves.at(command.run.selector_name());
  const int64_t num_layers = profile.model.shape.num_layers;
  Json error = Json::array();
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    const auto first = curves.layer.begin() + static_cast<int64_t>(curves.budgets.size()) * layer;
    error.push_back(std::vector<float>(first, first + static_cast<int64_t>(curves.budgets.size())));
  }
  session.emit(Json{{"selector", command.run.selector_name()},
                    {"budgets", curves.budgets},
                    {"tasks", curves.tasks},
                    {"layer_error", error},
                    {"seconds", seconds}},
               "added error curves \"" + command.run.selector_name() + "\" to " + command.profile +
                   "\n" + error_table(curves, num_layers));
}

void run_calibrate(Session& session, CalibrateCommand& command) {
  session.apply_common();
  if (session.common.dry_run) {
    profiler::RunSize size;
    const auto samples = static_cast<int64_t>(command.tasks.size()) * command.samples;
    size.longest_context = command.context_length + command.run.max_answer_tokens;
    size.prompt_tokens = samples * command.context_length;
    size.decode_tokens = samples * command.run.max_answer_tokens;
    size.chunk_tokens = command.run.chunk_tokens;
    return emit_estimate(session, command.model, size);
  }
  const auto started = std::chrono::steady_clock::now();
  const HeadProfile profile = outputs::read_profile(command.profile);
  const std::string name = command.run.selector_name();
  if (profile.error_curves.count(name) != 0) {
    if (command.resume) {
      session.console.message(command.profile + " holds the curves " + name + ": nothing to do");
      return emit_result(session, command, profile, 0.0);
    }
    if (!session.common.force) {
      throw InputError(command.profile + ": it holds error curves \"" + name +
                       "\" already. Give --force to measure them again.");
    }
  }
  const LoadedModel model = session.load(command.model, /*with_tokenizer=*/true);
  outputs::check_model_match("profile " + command.profile, profile.model, model.identity,
                             session.common.force);
  const profiler::PromptWriter writer(*model.tokenizer, model.chat,
                                      profiler::parse_format_choice(command.format));
  const std::vector<profiler::TaskSample> samples = build_samples(session, command, writer);

  profiler::TrialStore store(command.profile, command.resume);
  const profiler::MeasuredModel measured{*model.decoder, *model.tokenizer, model.identity};
  profiler::CalibrateOutcome outcome =
      profiler::calibrate(measured, profile, samples, command.run, session.console, &store);
  if (!outcome.complete) {
    throw Interrupted("interrupted: what was measured is saved in " + store.partial_path() +
                      ". Run the same command with --resume to go on.");
  }
  outputs::write_profile(outcome.profile, command.profile, /*overwrite=*/true);
  store.discard();
  emit_result(session, command, outcome.profile,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
}

}  // namespace

void setup_calibrate(CLI::App& app, Session& session) {
  auto command = std::make_shared<CalibrateCommand>();
  CLI::App* sub =
      app.add_subcommand("calibrate", "Measures what eviction costs each layer, at many budgets");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--profile", command->profile, "The profile to add the curves to")->required();
  sub->add_option("--budgets", command->run.budgets,
                  "Tokens kept per KV head, comma-separated; 32 is always added")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--selector", command->run.score, "Which head score picks the selector heads")
      ->capture_default_str();
  sub->add_option("--selector-heads", command->run.selector_heads, "Selector heads per layer")
      ->capture_default_str();
  sub->add_option("--tasks", command->tasks, "Task families, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember(profiler::task_names()))
      ->capture_default_str();
  sub->add_option("--samples", command->samples, "Prompts per task")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--context-length", command->context_length, "Tokens of a prompt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--max-answer-tokens", command->run.max_answer_tokens,
                  "Answer steps measured per prompt")
      ->capture_default_str();
  sub->add_option("--text", command->text,
                  "Filler of your own: a text file or a folder of .txt files");
  sub->add_option("--prompt-format", command->format, "auto, chat or raw")
      ->check(CLI::IsMember({"auto", "chat", "raw"}))
      ->capture_default_str();
  sub->add_flag("--resume", command->resume, "Go on where an interrupted run stopped");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_calibrate(session, *command); });
}

}  // namespace headscope::cli
