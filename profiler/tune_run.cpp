#include "profiler/tune_run.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "analysis/bootstrap.h"
#include "model/rotary.h"
#include "outputs/input_error.h"
#include "outputs/plan_json.h"
#include "profiler/answer_metrics.h"
#include "profiler/greedy_answer.h"
#include "profiler/option_check.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kFull = "full";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One answer to one sample, by the trial's label.
using AnswerKey = std::pair<std::string, size_t>;
struct Answer {
  double score = 0.0;
  int64_t kv_bytes = 0;
};

class Tuner {
 public:
  Tuner(const MeasuredModel& model,
        const HeadProfile& profile,
        const std::vector<TaskSample>& samples,
        const analysis::TokenBudget& budget,
        int64_t context_length,
        const TuneOptions& options,
        ProgressSink& progress)
      : model_(model),
        profile_(profile),
        samples_(samples),
        budget_(budget),
        context_length_(context_length),
        options_(options),
        progress_(progress) {}

  // What an earlier run left; `save` is called now and then with all answers so far.
  void resume(const Evaluation& stored);
  [[nodiscard]] std::vector<EvaluationSample> answers() const;
  // False: the user asked to stop.
  bool run(TuneOutcome& outcome, const std::function<void()>& save);

 private:
  // Answers of these trials to every sample. False: the user asked to stop.
  bool answer_all(const std::vector<TuneTrial>& trials, const std::function<void()>& save);
  bool answer_sample(size_t sample, const std::vector<TuneTrial>& trials);
  // Decodes the caches' answers to one sample side by side.
  void keep_answers(size_t sample,
                    const std::vector<std::string>& labels,
                    const std::vector<runtime::KvCache*>& caches,
                    int64_t first_token);
  [[nodiscard]] TuneTrial graded(TuneTrial trial, const std::string& label) const;

  const MeasuredModel& model_;
  const HeadProfile& profile_;
  const std::vector<TaskSample>& samples_;
  analysis::TokenBudget budget_;
  int64_t context_length_;
  const TuneOptions& options_;
  ProgressSink& progress_;
  std::map<AnswerKey, Answer> answers_;
  int64_t done_ = 0;
  Clock::time_point saved_ = Clock::now();
};

void Tuner::resume(const Evaluation& stored) {
  std::map<std::pair<std::string, int64_t>, size_t> index;
  for (size_t i = 0; i < samples_.size(); ++i) index[{samples_[i].task, samples_[i].sample}] = i;
  for (const EvaluationSample& sample : stored.samples) {
    const auto found = index.find({sample.task, sample.sample});
    if (found == index.end()) continue;
    answers_[{sample.method, found->second}] = {sample.score, sample.kv_bytes};
  }
}

std::vector<EvaluationSample> Tuner::answers() const {
  std::vector<EvaluationSample> stored;
  for (const auto& [key, answer] : answers_) {
    EvaluationSample sample;
    sample.task = samples_[key.second].task;
    sample.sample = samples_[key.second].sample;
    sample.context_length = samples_[key.second].context_length;
    sample.method = key.first;
    sample.score = answer.score;
    sample.kv_bytes = answer.kv_bytes;
    stored.push_back(std::move(sample));
  }
  return stored;
}

void Tuner::keep_answers(size_t index,
                         const std::vector<std::string>& labels,
                         const std::vector<runtime::KvCache*>& caches,
                         int64_t first_token) {
  const TaskSample& sample = samples_[index];
  std::vector<int64_t> bytes;
  for (const runtime::KvCache* cache : caches) bytes.push_back(cache->bytes_held());
  const std::vector<int64_t> first(caches.size(), first_token);
  const std::vector<AnswerEnd> ends = decode_side_by_side(
      model_, caches, first,
      {.max_tokens = sample.max_new_tokens, .stop_at_newline = sample.metric != Metric::kRougeL});
  for (size_t i = 0; i < caches.size(); ++i) {
    answers_[{labels[i], index}] = {grade_response(sample, ends[i].text()), bytes[i]};
  }
}

bool Tuner::answer_sample(size_t index, const std::vector<TuneTrial>& trials) {
  const TaskSample& sample = samples_[index];
  std::vector<const TuneTrial*> missing;
  int64_t window = 1;
  for (const TuneTrial& trial : trials) {
    if (answers_.count({trial.label(), index}) > 0) continue;
    missing.push_back(&trial);
    window = std::max(window, trial.window);
  }
  const bool full_missing = answers_.count({kFull, index}) == 0;
  if (missing.empty() && !full_missing) return true;
  runtime::FullKvCache full(model_.identity.shape.num_layers, {.window_tokens = window});
  const int64_t first_token = greedy_choice(
      model_.decoder.prefill(sample.prompt, full, {.chunk_tokens = options_.chunk_tokens}));
  for (size_t at = 0; at < missing.size(); at += kAnswersSideBySide) {
    if (progress_.interrupted()) return false;
    std::vector<std::unique_ptr<runtime::KvCache>> held;
    std::vector<std::string> labels;
    for (size_t i = at; i < std::min(missing.size(), at + kAnswersSideBySide); ++i) {
      held.push_back(runtime::compress(
          full, plan_of_trial(profile_, *missing[i], options_.pooling, budget_, context_length_)));
      labels.push_back(missing[i]->label());
    }
    std::vector<runtime::KvCache*> caches;
    for (const auto& cache : held) caches.push_back(cache.get());
    keep_answers(index, labels, caches, first_token);
  }
  if (full_missing) keep_answers(index, {kFull}, {&full}, first_token);
  return true;
}

bool Tuner::answer_all(const std::vector<TuneTrial>& trials, const std::function<void()>& save) {
  for (size_t i = 0; i < samples_.size(); ++i) {
    if (progress_.interrupted() || !answer_sample(i, trials)) return false;
    done_ += static_cast<int64_t>(trials.size());
    progress_.advance(done_);
    if (seconds_since(saved_) > options_.save_every_seconds) {
      save();
      saved_ = Clock::now();
    }
  }
  return true;
}

TuneTrial Tuner::graded(TuneTrial trial, const std::string& label) const {
  std::vector<double> scores;
  double bytes = 0.0;
  for (size_t i = 0; i < samples_.size(); ++i) {
    const Answer& found = answers_.at({label, i});
    scores.push_back(found.score);
    bytes += static_cast<double>(found.kv_bytes);
  }
  const analysis::MeanInterval interval = analysis::bootstrap_mean(
      scores,
      {.num_resamples = options_.bootstrap_draws, .confidence = 0.95, .seed = options_.seed});
  trial.kv_bytes = static_cast<int64_t>(bytes / static_cast<double>(samples_.size()));
  trial.accuracy = interval.mean;
  trial.ci_low = interval.low;
  trial.ci_high = interval.high;
  return trial;
}

bool Tuner::run(TuneOutcome& outcome, const std::function<void()>& save) {
  const auto stage = [&](const std::vector<TuneTrial>& trials) {
    std::vector<TuneTrial> fresh;
    for (const TuneTrial& trial : trials) {
      const bool known =
          std::any_of(outcome.trials.begin(), outcome.trials.end(),
                      [&](const TuneTrial& other) { return other.label() == trial.label(); });
      if (!known) fresh.push_back(trial);
    }
    if (!answer_all(fresh, save)) return false;
    for (const TuneTrial& trial : fresh) {
      outcome.trials.push_back(graded(trial, trial.label()));
      if (outcome.trials.back().accuracy > outcome.trials[outcome.best].accuracy) {
        outcome.best = outcome.trials.size() - 1;
      }
    }
    return true;
  };

  std::vector<TuneTrial> trials;
  for (const std::string& selector : options_.selectors) {
    for (const int64_t kernel : options_.pooling_kernels) {
      trials.push_back({.selector = selector,
                        .pooling_kernel = kernel,
                        .window = options_.windows.front(),
                        .allocator = options_.allocators.front()});
    }
  }
  if (!stage(trials)) return false;

  trials.assign(options_.windows.size(), outcome.trials[outcome.best]);
  for (size_t i = 0; i < trials.size(); ++i) trials[i].window = options_.windows[i];
  if (!stage(trials)) return false;

  trials.assign(options_.allocators.size(), outcome.trials[outcome.best]);
  for (size_t i = 0; i < trials.size(); ++i) trials[i].allocator = options_.allocators[i];
  if (!stage(trials)) return false;
  outcome.full = graded({}, kFull);
  return true;
}

Provenance complete_provenance(Provenance provenance,
                               const TuneOptions& options,
                               const analysis::TokenBudget& budget,
                               int64_t context_length) {
  auto& stored = provenance.options;
  stored["selectors"] = join_values(options.selectors);
  stored["pooling"] = outputs::pooling_name(options.pooling);
  stored["pooling_kernels"] = join_values(options.pooling_kernels);
  stored["windows"] = join_values(options.windows);
  stored["allocators"] = join_values(options.allocators);
  stored["budget_tokens"] = std::to_string(budget.per_kv_head);
  stored["extra_tokens"] = std::to_string(budget.extra);
  stored["context_length"] = std::to_string(context_length);
  stored["chunk_tokens"] = std::to_string(options.chunk_tokens);
  return provenance;
}

// "0.750 (0.500 to 1.000) of 12345 bytes: srh:4, …", one entry per trial in the order tried.
void tell_trials(const TuneOutcome& outcome, Provenance& provenance) {
  const auto tell = [](const TuneTrial& trial) {
    char text[120];
    std::snprintf(text, sizeof text, "%.3f (%.3f to %.3f) with %lld bytes", trial.accuracy,
                  trial.ci_low, trial.ci_high, static_cast<long long>(trial.kv_bytes));
    return std::string(text);
  };
  provenance.options["trial 000"] = tell(outcome.full) + ": full cache";
  for (size_t i = 0; i < outcome.trials.size(); ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "trial %03zu", i + 1);
    provenance.options[name] = tell(outcome.trials[i]) + ": " + outcome.trials[i].label();
  }
}

void check_samples(const MeasuredModel& model, const std::vector<TaskSample>& samples) {
  if (samples.empty()) throw InputError("tune", "at least one sample", "none");
  const int64_t positions = model::position_limit(model.decoder.config());
  for (const TaskSample& sample : samples) {
    const auto tokens = static_cast<int64_t>(sample.prompt.size());
    if (tokens > positions) {
      throw InputError("task " + sample.task,
                       "a prompt within the model's " + std::to_string(positions) + " positions",
                       std::to_string(tokens) + " tokens", "Use a shorter context length.");
    }
  }
}

// Every trial's plan, so that what the profile lacks is said before the first prefill.
void check_plans(const HeadProfile& profile,
                 const TuneOptions& options,
                 const analysis::TokenBudget& budget,
                 int64_t context_length) {
  TuneTrial trial{.selector = options.selectors.front(), .allocator = options.allocators.front()};
  for (const std::string& selector : options.selectors) {
    trial.selector = selector;
    static_cast<void>(plan_of_trial(profile, trial, options.pooling, budget, context_length));
  }
  for (const std::string& allocator : options.allocators) {
    trial.allocator = allocator;
    static_cast<void>(plan_of_trial(profile, trial, options.pooling, budget, context_length));
  }
}

}  // namespace

TuneOutcome tune(const MeasuredModel& model,
                 const HeadProfile& profile,
                 const std::vector<TaskSample>& samples,
                 const analysis::TokenBudget& budget,
                 int64_t context_length,
                 const TuneOptions& options,
                 const Provenance& provenance,
                 ProgressSink& progress,
                 TrialStore* store) {
  options.validate();
  check_samples(model, samples);
  check_plans(profile, options, budget, context_length);
  Evaluation partial;
  partial.model = model.identity;
  partial.provenance = complete_provenance(provenance, options, budget, context_length);

  TuneOutcome outcome;
  Tuner tuner(model, profile, samples, budget, context_length, options, progress);
  const Clock::time_point started = Clock::now();
  double seconds_before = 0.0;
  if (store != nullptr) {
    if (const auto stored = store->load_evaluation()) {
      if (stored->model.fingerprint != partial.model.fingerprint ||
          stored->provenance.seed != partial.provenance.seed ||
          stored->provenance.options != partial.provenance.options) {
        throw InputError(store->partial_path(),
                         "what is left of the same run (model, seed, options)", "another run's",
                         "Delete the file, or repeat that run's command.");
      }
      tuner.resume(*stored);
      outcome.num_resumed = static_cast<int64_t>(stored->samples.size());
      seconds_before = stored->provenance.seconds;
    }
  }
  const auto save = [&] {
    if (store == nullptr) return;
    partial.samples = tuner.answers();
    partial.provenance.seconds = seconds_before + seconds_since(started);
    store->save(partial);
  };
  progress.begin("tuning answers", options.num_trials() * static_cast<int64_t>(samples.size()));
  outcome.complete = tuner.run(outcome, save);
  if (!outcome.complete) {
    save();
    return outcome;
  }
  outcome.plan =
      plan_of_trial(profile, outcome.trials[outcome.best], options.pooling, budget, context_length);
  outcome.plan.provenance = partial.provenance;
  outcome.plan.provenance.seconds = seconds_before + seconds_since(started);
  tell_trials(outcome, outcome.plan.provenance);
  return outcome;
}

}  // namespace headscope::profiler
