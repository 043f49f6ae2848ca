#include "profiler/evaluate_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <tuple>

#include "analysis/compresskv_allocator.h"
#include "model/rotary.h"
#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/evaluation_summary.h"
#include "profiler/greedy_answer.h"
#include "profiler/option_check.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kFull = "full";

// One way to answer a sample.
struct Setting {
  std::string method;
  double retention = 1.0;     // asked
  int64_t budget_tokens = 0;  // 0 = everything
};

// Full first, then every method at every size, each once.
std::vector<Setting> settings_of(const TaskSample& sample, const EvaluateOptions& options) {
  const auto prompt_tokens = static_cast<int64_t>(sample.prompt.size());
  std::vector<Setting> settings{{kFull, 1.0, 0}};
  const auto add = [&](const std::string& method, double retention, int64_t budget) {
    for (const Setting& known : settings) {
      if (known.method == method && known.retention == retention) return;
    }
    // What fits is left alone, whatever the method would do with it.
    settings.push_back({method, retention, budget >= prompt_tokens ? 0 : budget});
  };
  for (const std::string& method : options.methods) {
    if (method == kFull) continue;
    for (const double retention : options.retentions) {
      add(method, retention, runtime::budget_for_retention(retention, prompt_tokens));
    }
    for (const int64_t budget : options.budgets) {
      add(method, nominal_retention(budget, sample.context_length), budget);
    }
  }
  for (const auto& [label, budget] : options.plans) {
    add(label, nominal_retention(budget, sample.context_length), budget);
  }
  return settings;
}

using SampleKey = std::tuple<std::string, int64_t, int64_t, std::string, double>;

SampleKey key_of(const EvaluationSample& sample) {
  return {sample.task, sample.context_length, sample.sample, sample.method, sample.retention};
}

SampleKey key_of(const TaskSample& sample, const Setting& setting) {
  return {sample.task, sample.context_length, sample.sample, setting.method, setting.retention};
}

std::string join_answers(const std::vector<std::string>& answers) {
  std::string text;
  for (const std::string& answer : answers) text += (text.empty() ? "" : " | ") + answer;
  return text;
}

// Answers one prompt under several settings from one prefill.
class SampleRunner {
 public:
  SampleRunner(const MeasuredModel& model, const TaskSample& sample, const EvaluateOptions& options)
      : model_(model),
        sample_(sample),
        options_(options),
        limits_{.max_tokens = sample.max_new_tokens,
                .stop_at_newline = sample.metric != Metric::kRougeL} {}

  // Reads the prompt. `remembered`: what the plans to come need of it.
  void prefill(const runtime::FullKvCacheOptions& remembered) {
    full_ = std::make_unique<runtime::FullKvCache>(model_.identity.shape.num_layers, remembered);
    first_token_ = greedy_choice(
        model_.decoder.prefill(sample_.prompt, *full_, {.chunk_tokens = options_.chunk_tokens}));
  }

  EvaluationSample answer_full() {
    const int64_t bytes = full_->bytes_held();
    EvaluationSample result = answer(*full_, bytes);
    full_->truncate(static_cast<int64_t>(sample_.prompt.size()));
    return result;
  }

  EvaluationSample answer_compressed(const BudgetPlan& plan) {
    const auto cache = runtime::compress(*full_, plan);
    const int64_t bytes = cache->bytes_held();
    return answer(*cache, bytes);
  }

 private:
  EvaluationSample answer(runtime::KvCache& cache, int64_t bytes) {
    const AnswerEnd end = decode_greedily(model_, cache, first_token_, limits_);
    EvaluationSample result;
    result.task = sample_.task;
    result.context_length = sample_.context_length;
    result.sample = sample_.sample;
    result.kv_bytes = bytes;
    result.expected = valid_utf8(join_answers(sample_.accepted));
    result.response = end.text();
    result.score = grade_response(sample_, result.response);
    return result;
  }

  const MeasuredModel& model_;
  const TaskSample& sample_;
  const EvaluateOptions& options_;
  AnswerLimits limits_;
  std::unique_ptr<runtime::FullKvCache> full_;
  int64_t first_token_ = 0;
};

BudgetPlan plan_of(const Setting& setting,
                   const TaskSample& sample,
                   const PlanMaker& make_plan,
                   const ModelIdentity& model) {
  const auto prompt_tokens = static_cast<int64_t>(sample.prompt.size());
  BudgetPlan plan = setting.budget_tokens == 0
                        ? runtime::uniform_plan(kFull, model.shape, prompt_tokens)
                        : make_plan(setting.method, setting.budget_tokens, prompt_tokens);
  plan.model = model;
  return plan;
}

using Samples = std::map<SampleKey, EvaluationSample>;

// Runs what `done` does not hold yet of one sample. False when the user asked to stop.
bool run_sample(const MeasuredModel& model,
                const TaskSample& sample,
                const PlanMaker& make_plan,
                const EvaluateOptions& options,
                const ProgressSink& progress,
                Samples& done) {
  std::vector<std::pair<Setting, BudgetPlan>> missing;
  runtime::FullKvCacheOptions remembered;
  for (const Setting& setting : settings_of(sample, options)) {
    if (done.count(key_of(sample, setting)) > 0) continue;
    missing.emplace_back(setting, plan_of(setting, sample, make_plan, model.identity));
    const auto needed = runtime::full_cache_options(missing.back().second);
    remembered.window_tokens = std::max(remembered.window_tokens, needed.window_tokens);
    remembered.sums_attention = remembered.sums_attention || needed.sums_attention;
  }
  if (missing.empty()) return true;
  SampleRunner runner(model, sample, options);
  runner.prefill(remembered);
  for (const auto& [setting, plan] : missing) {
    if (progress.interrupted()) return false;
    EvaluationSample result =
        setting.method == kFull ? runner.answer_full() : runner.answer_compressed(plan);
    result.method = setting.method;
    result.retention = setting.retention;
    done.emplace(key_of(result), std::move(result));
  }
  return true;
}

Provenance complete_provenance(Provenance provenance, const EvaluateOptions& options) {
  auto& stored = provenance.options;
  stored["methods"] = join_values(options.methods);
  stored["retentions"] = join_values(options.retentions);
  stored["budgets"] = join_values(options.budgets);
  stored["bootstrap_draws"] = std::to_string(options.bootstrap_draws);
  stored["chunk_tokens"] = std::to_string(options.chunk_tokens);
  return provenance;
}

void check_samples(const MeasuredModel& model, const std::vector<TaskSample>& samples) {
  if (samples.empty()) throw InputError("evaluation", "at least one sample", "none");
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

// What is done, in the order of the samples and their settings.
std::vector<EvaluationSample> in_order(const std::vector<TaskSample>& samples,
                                       const EvaluateOptions& options,
                                       const Samples& done) {
  std::vector<EvaluationSample> ordered;
  for (const TaskSample& sample : samples) {
    for (const Setting& setting : settings_of(sample, options)) {
      const auto found = done.find(key_of(sample, setting));
      if (found != done.end()) ordered.push_back(found->second);
    }
  }
  return ordered;
}

// CompressKV's allocator has a floor of its own; else it is the window that a budget must exceed.
bool is_below_floor(const EvaluationRow& row,
                    const PlanMaker& make_plan,
                    const SelectionOptions& asked) {
  if (row.method == kFull || row.budget_tokens >= row.context_length) return false;
  const BudgetPlan plan = make_plan(row.method, row.budget_tokens, row.context_length);
  const int64_t floor = plan.allocator == analysis::CompressKvAllocator().name()
                            ? analysis::CompressKvAllocator::kFloorTokens
                            : asked.observation_window;
  return row.budget_tokens < floor;
}

}  // namespace

void EvaluateOptions::validate() const {
  if (retentions.empty() == budgets.empty()) {
    throw InputError("evaluation", "retentions or budgets", budgets.empty() ? "neither" : "both");
  }
  for (const std::string& method : methods)
    static_cast<void>(runtime::find_policy(method, "methods"));
  for (const double retention : retentions) {
    if (!(retention > 0.0 && retention <= 1.0)) {
      throw InputError("retentions", "shares above 0 and at most 1", std::to_string(retention));
    }
  }
  for (const int64_t budget : budgets) check_range("budgets", budget, 2, int64_t{1} << 40);
  check_range("bootstrap draws", bootstrap_draws, 100, 1000000);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
  if (!(save_every_seconds > 0.0)) {
    throw InputError("save interval", "a time above 0 s", std::to_string(save_every_seconds));
  }
}

EvaluateOutcome evaluate(const MeasuredModel& model,
                         const std::vector<TaskSample>& samples,
                         const PlanMaker& make_plan,
                         const EvaluateOptions& options,
                         const Provenance& provenance,
                         ProgressSink& progress,
                         TrialStore* store) {
  options.validate();
  check_samples(model, samples);
  EvaluateOutcome outcome;
  Evaluation& evaluation = outcome.evaluation;
  evaluation.model = model.identity;
  evaluation.provenance = complete_provenance(provenance, options);

  const Clock::time_point started = Clock::now();
  double seconds_before = 0.0;
  Samples done;
  if (store != nullptr) {
    if (const auto stored = store->load_evaluation()) {
      if (stored->model.fingerprint != evaluation.model.fingerprint ||
          stored->provenance.seed != evaluation.provenance.seed ||
          stored->provenance.options != evaluation.provenance.options) {
        throw InputError(store->partial_path(),
                         "what is left of the same run (model, seed, options)", "another run's",
                         "Delete the file, or repeat that run's command.");
      }
      for (const EvaluationSample& sample : stored->samples) done.emplace(key_of(sample), sample);
      seconds_before = stored->provenance.seconds;
    }
  }
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
  for (EvaluationRow& row : evaluation.rows) {
    const SelectionOptions asked = runtime::find_policy(row.method).defaults;
    row.below_floor = is_below_floor(row, make_plan, asked);
  }
  return outcome;
}

}  // namespace headscope::profiler
