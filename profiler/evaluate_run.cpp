#include "profiler/evaluate_run.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "analysis/compresskv_allocator.h"
#include "model/rotary.h"
#include "outputs/input_error.h"
#include "profiler/answer_cost.h"
#include "profiler/evaluation_summary.h"
#include "profiler/greedy_answer.h"
#include "profiler/option_check.h"
#include "profiler/sample_runner.h"
#include "runtime/compressor.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;
using Samples = std::map<SampleKey, EvaluationSample>;

// Of the full cache where nothing is evicted, and for random tokens, which have none.
BudgetPlan plan_of(const EvaluationSetting& setting,
                   int64_t tokens,
                   const PlanMaker& make_plan,
                   const ModelIdentity& model) {
  BudgetPlan plan = setting.budget_tokens == 0 || setting.is_random()
                        ? runtime::uniform_plan(kFullCache, model.shape, tokens)
                        : make_plan(setting.method, setting.budget_tokens, tokens);
  plan.model = model;
  return plan;
}

using PlannedSettings = std::vector<PlannedSetting>;

// Random tokens are a control, which nobody runs by itself.
void add_costs(const MeasuredModel& model,
               const TaskSample& sample,
               const PlannedSettings& settings,
               const EvaluateOptions& options,
               const ProgressSink& progress,
               std::map<SampleKey, AnswerCost>& costs) {
  CostOptions cost{.chunk_tokens = options.chunk_tokens,
                   .compressed_tokens = compressed_tokens(sample, options)};
  for (const auto& [setting, plan] : settings) {
    if (progress.interrupted()) return;
    if (setting.is_random()) continue;
    costs[key_of(sample, setting)] = measure_cost(model, sample, plan, cost);
  }
}

// Runs what `done` does not hold yet of one sample. False when the user asked to stop.
bool run_sample(const MeasuredModel& model,
                const TaskSample& sample,
                const PlanMaker& make_plan,
                const EvaluateOptions& options,
                const ProgressSink& progress,
                Samples& done) {
  PlannedSettings missing;
  runtime::FullKvCacheOptions remembers{.window_tokens = 1};
  for (const EvaluationSetting& setting : settings_of(sample, options)) {
    if (done.count(key_of(sample, setting)) > 0) continue;
    missing.emplace_back(
        setting, plan_of(setting, compressed_tokens(sample, options), make_plan, model.identity));
    const auto needed = runtime::full_cache_options(missing.back().second);
    remembers.window_tokens = std::max(remembers.window_tokens, needed.window_tokens);
    remembers.sums_attention = remembers.sums_attention || needed.sums_attention;
  }
  if (missing.empty()) return true;
  // Before the answers, whose cache would stand beside every other one.
  std::map<SampleKey, AnswerCost> costs;
  if (sample.sample < options.timed_samples) {
    add_costs(model, sample, missing, options, progress, costs);
  }
  if (progress.interrupted()) return false;
  SampleRunner runner(model, sample, options, remembers);
  for (size_t at = 0; at < missing.size(); at += kAnswersSideBySide) {
    if (progress.interrupted()) return false;
    const size_t count = std::min(kAnswersSideBySide, missing.size() - at);
    for (EvaluationSample& result :
         runner.answers(std::span<const PlannedSetting>(missing).subspan(at, count))) {
      const SampleKey key = key_of(result);
      const auto cost = costs.find(key);
      if (cost != costs.end()) result.cost = cost->second;
      done.emplace(key, std::move(result));
    }
  }
  return true;
}

Provenance complete_provenance(Provenance provenance, const EvaluateOptions& options) {
  auto& stored = provenance.options;
  stored["methods"] = join_values(options.methods);
  stored["arms"] = join_values(options.arms);
  stored["retentions"] = join_values(options.retentions);
  stored["budgets"] = join_values(options.budgets);
  stored["compression"] = options.compression();
  stored["timed_samples"] = std::to_string(options.timed_samples);
  stored["bootstrap_draws"] = std::to_string(options.bootstrap_draws);
  stored["chunk_tokens"] = std::to_string(options.chunk_tokens);
  return provenance;
}

void check_samples(const MeasuredModel& model,
                   const std::vector<TaskSample>& samples,
                   const EvaluateOptions& options) {
  if (samples.empty()) throw InputError("evaluation", "at least one sample", "none");
  const int64_t positions = model::position_limit(model.decoder.config());
  for (const TaskSample& sample : samples) {
    const auto tokens = static_cast<int64_t>(sample.prompt.size());
    const std::string where = "task " + sample.task + ", sample " + std::to_string(sample.sample);
    if (tokens > positions) {
      throw InputError(where,
                       "a prompt within the model's " + std::to_string(positions) + " positions",
                       std::to_string(tokens) + " tokens", "Use a shorter context length.");
    }
    const bool is_split = sample.context_tokens >= 1 && sample.context_tokens < tokens;
    if (options.question_agnostic && !is_split) {
      throw InputError(where, "a prompt whose question follows its context",
                       "no place between them",
                       "Compress with the question (without --question-agnostic).");
    }
  }
}

// What is done, in the order of the samples and their settings.
std::vector<EvaluationSample> in_order(const std::vector<TaskSample>& samples,
                                       const EvaluateOptions& options,
                                       const Samples& done) {
  std::vector<EvaluationSample> ordered;
  for (const TaskSample& sample : samples) {
    for (const EvaluationSetting& setting : settings_of(sample, options)) {
      const auto found = done.find(key_of(sample, setting));
      if (found != done.end()) ordered.push_back(found->second);
    }
  }
  return ordered;
}

// CompressKV's allocator has a floor of its own; else it is the window that a budget must exceed.
bool is_below_floor(const EvaluationRow& row, const PlanMaker& make_plan) {
  if (row.method == kFullCache || row.method == kRandomTokens ||
      row.budget_tokens >= row.context_length) {
    return false;
  }
  const BudgetPlan plan = make_plan(row.method, row.budget_tokens, row.context_length);
  const int64_t floor = plan.allocator == analysis::CompressKvAllocator().name()
                            ? analysis::CompressKvAllocator::kFloorTokens
                            : runtime::find_policy(plan.method).defaults.observation_window;
  return row.budget_tokens < floor;
}

// What an interrupted run of the same kind left; `seconds` is how long it took.
Samples take_up(const TrialStore* store, const Evaluation& evaluation, double& seconds) {
  Samples done;
  const auto stored = store == nullptr ? std::nullopt : store->load_evaluation();
  if (!stored) return done;
  if (stored->model.fingerprint != evaluation.model.fingerprint ||
      stored->provenance.seed != evaluation.provenance.seed ||
      stored->provenance.options != evaluation.provenance.options) {
    throw InputError(store->partial_path(), "what is left of the same run (model, seed, options)",
                     "another run's", "Delete the file, or repeat that run's command.");
  }
  for (const EvaluationSample& sample : stored->samples) done.emplace(key_of(sample), sample);
  seconds = stored->provenance.seconds;
  return done;
}

}  // namespace

EvaluateOutcome evaluate(const MeasuredModel& model,
                         const std::vector<TaskSample>& samples,
                         const PlanMaker& make_plan,
                         const EvaluateOptions& options,
                         const Provenance& provenance,
                         ProgressSink& progress,
                         TrialStore* store) {
  options.validate();
  check_samples(model, samples, options);
  EvaluateOutcome outcome;
  Evaluation& evaluation = outcome.evaluation;
  evaluation.model = model.identity;
  evaluation.provenance = complete_provenance(provenance, options);

  const Clock::time_point started = Clock::now();
  double seconds_before = 0.0;
  Samples done = take_up(store, evaluation, seconds_before);
  const auto snapshot = [&] {
    evaluation.samples = in_order(samples, options, done);
    evaluation.provenance.seconds =
        seconds_before + std::chrono::duration<double>(Clock::now() - started).count();
  };

  progress.begin("evaluation samples", static_cast<int64_t>(samples.size()));
  Clock::time_point saved = Clock::now();
  int64_t reached = 0;
  for (const TaskSample& sample : samples) {
    const size_t before = done.size();
    if (!run_sample(model, sample, make_plan, options, progress, done)) break;
    if (done.size() == before) ++outcome.num_resumed;
    progress.advance(++reached);
    if (store != nullptr &&
        std::chrono::duration<double>(Clock::now() - saved).count() > options.save_every_seconds) {
      snapshot();
      store->save(evaluation);
      saved = Clock::now();
    }
  }
  outcome.complete = reached == static_cast<int64_t>(samples.size());
  snapshot();
  if (!outcome.complete && store != nullptr) store->save(evaluation);
  evaluation.rows = summarise(
      evaluation.samples,
      {.num_resamples = options.bootstrap_draws, .confidence = 0.95, .seed = options.seed});
  for (EvaluationRow& row : evaluation.rows) row.below_floor = is_below_floor(row, make_plan);
  return outcome;
}

}  // namespace headscope::profiler
