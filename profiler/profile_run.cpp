#include "profiler/profile_run.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>

#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/option_check.h"
#include "profiler/probe_reader.h"
#include "profiler/probe_rounds.h"
#include "profiler/probe_schedule.h"
#include "profiler/repeat_reader.h"
#include "profiler/scorer_registry.h"
#include "profiler/trial_table.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kStop = "stop";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_probe(const Probe& probe) {
  if (probe.repeat_period > 0) return static_cast<void>(repeat_begin(probe));
  const auto inside = [&](const std::vector<TokenSpan>& spans) {
    return !spans.empty() && std::all_of(spans.begin(), spans.end(), [&](const TokenSpan& span) {
      return span.begin >= 0 && span.begin < span.end &&
             span.end <= static_cast<int64_t>(probe.prompt.size());
    });
  };
  if (!inside(probe.needle_spans) || !inside(probe.answer_spans)) {
    throw std::invalid_argument("probe " + std::to_string(probe.id) +
                                ": no span, or one outside the prompt");
  }
}

Provenance complete_provenance(Provenance provenance, const ProfileOptions& options) {
  auto& stored = provenance.options;
  stored["mode"] = mode_name(options.mode);
  stored["scores"] = join_values(options.scores);
  stored["srh_span"] = options.srh_span == SpanChoice::kNeedle ? "needle" : "answer";
  stored["success_threshold"] = join_values(std::vector<double>{options.success_threshold});
  stored["max_answer_tokens"] = std::to_string(options.max_answer_tokens);
  stored["extra_answer_tokens"] = std::to_string(options.extra_answer_tokens);
  stored[analysis::kFamilyMixOption] = analysis::format_family_mix(options.mix);
  stored["chunk_tokens"] = std::to_string(options.chunk_tokens);
  if (options.until_stable) analysis::describe_stop(*options.until_stable, provenance);
  return provenance;
}

// One process's part of a run.
class Run {
 public:
  Run(const MeasuredModel& model,
      const std::vector<Probe>& probes,
      const ProfileOptions& options,
      ProgressSink& progress,
      TrialLog* log,
      RankGroup& ranks)
      : model_(model),
        probes_(probes),
        options_(options),
        progress_(progress),
        log_(log),
        ranks_(ranks),
        scope_(ranks.next_scope()),
        cancelled_([&progress] { return progress.interrupted(); }),
        scorers_(make_scorers(options.scores, model.identity.shape, {options.srh_span})),
        reader_(model, options, longest_context(probes, options, model.decoder.config()), scorers_),
        run_(trial_run(model, options)) {
    if (ranks.size() > 1 && log == nullptr) {
      throw std::invalid_argument("profile_heads: ranks meet in a log, none was given");
    }
    for (const Probe& probe : probes) addresses_.push_back(trial_address(run_, probe));
  }

  // False where it was interrupted.
  bool finish_all() {
    if (!take_up()) return false;
    progress_.begin("probes", static_cast<int64_t>(probes_.size()));
    report_progress();
    if (!options_.until_stable) return finish_round(probes_.size());
    for (const size_t end : round_ends(probes_.size(), *options_.until_stable)) {
      if (!finish_round(end)) return false;
      const auto word = ranks_.agree(scope_ + "stop " + std::to_string(end),
                                     ranks_.rank() == 0 ? judge_round() : "", cancelled_);
      if (!word) return false;
      if (*word == kStop) break;
    }
    return true;
  }

  [[nodiscard]] const std::optional<analysis::StopDecision>& stop() const { return stop_; }

  // How many of the probes that were put came from the log.
  [[nodiscard]] int64_t num_resumed() const {
    return std::count_if(addresses_.begin(), addresses_.begin() + std::ssize(put()),
                         [&](const std::string& address) { return resumed_.count(address) > 0; });
  }

  // What is known, in the order of the probes.
  [[nodiscard]] HeadProfile profile() const {
    std::vector<TrialOfProbe> done;
    for (size_t i = 0; i < put().size(); ++i) done.push_back({&probes_[i], trial_of(i)});
    return profile_of_trials(done, model_.identity, options_.scores, options_.success_threshold,
                             options_.mix);
  }

 private:
  [[nodiscard]] const Trial* trial_of(size_t index) const {
    const auto found = trials_.find(addresses_[index]);
    return found == trials_.end() ? nullptr : &found->second;
  }

  // What earlier runs left. Rank 0 looks first, since it may take files of another run away.
  bool take_up() {
    const auto read = [&] {
      if (log_ == nullptr) return;
      trials_ = log_->read(run_);
      log_->open(run_);
    };
    if (ranks_.rank() == 0) read();
    if (!ranks_.meet(scope_ + "log", cancelled_)) return false;
    if (ranks_.rank() != 0) read();
    for (size_t i = 0; i < probes_.size(); ++i) {
      if (trial_of(i) != nullptr) resumed_.insert(addresses_[i]);
    }
    return true;
  }

  // The probes that the rounds have reached: of the open-ended run the first so many.
  [[nodiscard]] std::span<const Probe> put() const { return {probes_.data(), num_put_}; }

  // Puts the probes up to `end`; from here on rank 0 knows all of their trials.
  bool finish_round(size_t end) {
    const size_t begin = num_put_;
    num_put_ = end;
    const std::vector<WorkUnit> units =
        schedule_probes({probes_.begin() + static_cast<std::ptrdiff_t>(begin),
                         probes_.begin() + static_cast<std::ptrdiff_t>(end)});
    const std::string round = scope_ + std::to_string(end) + "/";
    for (;;) {
      const int64_t next = ranks_.draw(round + "units");
      if (next >= static_cast<int64_t>(units.size())) break;
      if (progress_.interrupted()) return false;
      WorkUnit unit = units[static_cast<size_t>(next)];
      for (size_t& index : unit) index += begin;
      finish_unit(unit);
    }
    // Other machines see what they share a folder for only once it is on the disk.
    if (ranks_.size() > 1) log_->sync();
    if (!ranks_.meet(round + "finished", cancelled_)) return false;
    if (ranks_.size() > 1 && ranks_.rank() == 0) take_all();
    return true;
  }

  void take_all() {
    trials_ = log_->read(run_);
    const auto known = [&](const std::string& address) { return trials_.count(address) > 0; };
    const auto end = addresses_.begin() + static_cast<std::ptrdiff_t>(num_put_);
    const auto found = std::count_if(addresses_.begin(), end, known);
    if (static_cast<size_t>(found) < num_put_) {
      throw InputError(log_->path(), "the trials of all " + std::to_string(num_put_) + " probes",
                       "those of " + std::to_string(found) + " in the files beside it",
                       "All ranks need the same command, and an --out in a folder that all of "
                       "their machines share.");
    }
  }

  std::string judge_round() {
    analysis::StopOptions options = *options_.until_stable;
    options.mix = options_.mix;
    stop_ = analysis::decide_stop(profile(), options);
    if (stop_->stop) return kStop;
    progress_.message(stop_->reason);
    return "go on";
  }

  void finish_unit(const WorkUnit& unit) {
    std::vector<Trial> fresh = read_unit(unit);
    if (log_ != nullptr) {
      log_->append(fresh);
      if (seconds_since(synced_) > options_.save_every_seconds) {
        log_->sync();
        synced_ = Clock::now();
      }
    }
    for (Trial& trial : fresh) {
      static_cast<void>(ranks_.draw(scope_ + "done"));
      trials_.emplace(trial.address, std::move(trial));
    }
    report_progress();
  }

  // The unit's trials that are not known yet.
  std::vector<Trial> read_unit(const WorkUnit& unit) {
    std::vector<Trial> fresh;
    std::vector<size_t> asked;
    std::vector<const Probe*> questions;
    for (const size_t index : unit) {
      if (trial_of(index) != nullptr) continue;
      if (probes_[index].repeat_period > 0) {
        fresh.push_back(read_repeated(index));
      } else {
        asked.push_back(index);
        questions.push_back(&probes_[index]);
      }
    }
    const std::vector<ProbeAnswer> answers = reader_.read(questions);
    for (size_t i = 0; i < asked.size(); ++i) {
      fresh.push_back(trial_of_answer(asked[i], answers[i]));
    }
    return fresh;
  }

  Trial read_repeated(size_t index) {
    Trial trial;
    trial.address = addresses_[index];
    trial.gate_value = 1.0;  // nothing is asked, so nothing can be answered wrongly
    trial.samples = score_probe(scorers_, model_.identity.shape, probes_[index],
                                {read_repeats(model_, probes_[index], options_.chunk_tokens)});
    return trial;
  }

  Trial trial_of_answer(size_t index, const ProbeAnswer& answer) {
    const Probe& probe = probes_[index];
    Trial trial;
    trial.address = addresses_[index];
    trial.response = answer.text;
    trial.gate_value = rouge1_recall(probe.answer, answer.text);
    trial.samples = score_probe(scorers_, model_.identity.shape, probe, answer.steps);
    return trial;
  }

  void report_progress() {
    progress_.advance(std::ssize(resumed_) + ranks_.drawn(scope_ + "done"));
  }

  const MeasuredModel& model_;
  const std::vector<Probe>& probes_;
  const ProfileOptions& options_;
  ProgressSink& progress_;
  TrialLog* log_;
  RankGroup& ranks_;
  std::string scope_;  // of this run's counters and places
  Cancelled cancelled_;
  ScorerSet scorers_;
  ProbeReader reader_;
  TrialRun run_;
  std::vector<std::string> addresses_;   // of the probes
  std::map<std::string, Trial> trials_;  // by address; also ones of no probe of this run
  std::set<std::string> resumed_;        // addresses of probes that the log held at first
  size_t num_put_ = 0;
  std::optional<analysis::StopDecision> stop_;
  Clock::time_point synced_ = Clock::now();
};

}  // namespace

std::string mode_name(ProfileMode mode) {
  return mode == ProfileMode::kShared ? "shared" : "exact";
}

void ProfileOptions::validate(const ModelShape& shape) const {
  static_cast<void>(make_scorers(scores, shape, {srh_span}));
  if (!(success_threshold >= 0.0 && success_threshold < 1.0)) {
    throw InputError("success threshold", "0 or more and below 1",
                     std::to_string(success_threshold));
  }
  check_range("max answer tokens", max_answer_tokens, 1, 512);
  check_range("extra answer tokens", extra_answer_tokens, 0, 512);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
  if (!(save_every_seconds > 0.0)) {
    throw InputError("save interval", "a time above 0 s", std::to_string(save_every_seconds));
  }
}

ProfileOutcome profile_heads(const MeasuredModel& model,
                             const std::vector<Probe>& probes,
                             const ProfileOptions& options,
                             const Provenance& provenance,
                             ProgressSink& progress,
                             TrialLog* log,
                             RankGroup* ranks) {
  const Clock::time_point started = Clock::now();
  options.validate(model.identity.shape);
  if (probes.empty()) throw InputError("probes", "at least one", "none");
  std::vector<std::string> families;
  for (const Probe& probe : probes) {
    check_probe(probe);
    families.push_back(probe.family);
  }
  analysis::check_family_mix(options.mix, families);
  SoloRank alone;
  Run run(model, probes, options, progress, log, ranks != nullptr ? *ranks : alone);
  ProfileOutcome outcome;
  outcome.complete = run.finish_all();
  // From here on nothing touches the model: the profile is only numbers.
  outcome.num_resumed = run.num_resumed();
  outcome.stop = run.stop();
  outcome.profile = run.profile();
  outcome.profile.provenance = complete_provenance(provenance, options);
  outcome.profile.provenance.seconds = seconds_since(started);
  return outcome;
}

}  // namespace headscope::profiler
