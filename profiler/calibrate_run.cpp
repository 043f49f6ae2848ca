#include "profiler/calibrate_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "analysis/head_ranking.h"
#include "model/rotary.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/sha256.h"
#include "profiler/eviction_error.h"
#include "profiler/option_check.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

// CompressKV's own measuring point: 24 chosen tokens and a window of 8.
constexpr int64_t kPaperBudget = 32;

std::vector<int64_t> complete_budgets(std::vector<int64_t> budgets) {
  budgets.push_back(kPaperBudget);
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  return budgets;
}

std::vector<std::vector<int64_t>> choose_heads(const HeadProfile& profile,
                                               const CalibrateOptions& options) {
  const auto table = profile.scores.find(options.score);
  if (table == profile.scores.end()) {
    std::vector<std::string> names;
    for (const auto& entry : profile.scores) names.push_back(entry.first);
    throw InputError("profile", "the score " + options.score, "only " + join_values(names),
                     "Measure it with headscope profile --scores.");
  }
  const std::vector<double>& mean = table->second.mean.values;
  if (std::all_of(mean.begin(), mean.end(), [](double value) { return std::isnan(value); })) {
    throw InputError("profile", "successful probes, to tell which heads select", "none",
                     "Use shorter contexts or needles with an answer prefix.");
  }
  return analysis::top_heads_per_layer(table->second.mean, options.selector_heads);
}

std::string describe_selection(const SelectionOptions& selection) {
  const char* pooling = selection.pooling == Pooling::kAverage ? "average"
                        : selection.pooling == Pooling::kMax   ? "max"
                                                               : "none";
  return "window " + std::to_string(selection.observation_window) + ", pooling " + pooling + " " +
         std::to_string(selection.pooling_kernel) + ", sinks " +
         std::to_string(selection.num_sink_tokens);
}

std::string join_heads(const std::vector<std::vector<int64_t>>& heads) {
  std::string text;
  for (const auto& of_layer : heads) text += join_values(of_layer) + ";";
  return text;
}

// Name of a sample's curves in the partial file: the prompt itself decides, so that curves of other
// samples can never be mistaken for it.
std::string curve_name(const TaskSample& sample) {
  return sample.task + "." + std::to_string(sample.sample) + "." +
         sha256_hex(join_values(sample.prompt)).substr(0, 16);
}

void record_options(Provenance& provenance,
                    const CalibrateOptions& options,
                    const std::vector<TaskSample>& samples) {
  std::map<std::string, int64_t> per_task;
  for (const TaskSample& sample : samples) ++per_task[sample.task];
  std::string tasks;
  for (const auto& [task, count] : per_task) {
    tasks += (tasks.empty() ? "" : ",") + task + " x" + std::to_string(count);
  }
  const std::string prefix = "calibrate." + options.selector_name() + ".";
  provenance.options[prefix + "budgets"] = join_values(complete_budgets(options.budgets));
  provenance.options[prefix + "selection"] = describe_selection(options.selection);
  provenance.options[prefix + "max_answer_tokens"] = std::to_string(options.max_answer_tokens);
  provenance.options[prefix + "chunk_tokens"] = std::to_string(options.chunk_tokens);
  provenance.options[prefix + "tasks"] = tasks;
}

void check_samples(const MeasuredModel& model,
                   const std::vector<TaskSample>& samples,
                   const CalibrateOptions& options) {
  if (samples.empty()) throw InputError("calibration", "at least one sample", "none");
  const int64_t positions = model::position_limit(model.decoder.config());
  for (const TaskSample& sample : samples) {
    const auto tokens = static_cast<int64_t>(sample.prompt.size());
    if (tokens + options.max_answer_tokens > positions) {
      throw InputError("calibration task " + sample.task,
                       "a prompt and " + std::to_string(options.max_answer_tokens) +
                           " answer tokens within the model's " + std::to_string(positions) +
                           " positions",
                       std::to_string(tokens) + " prompt tokens", "Use a shorter context length.");
    }
  }
}

// What an earlier run of the same kind left.
std::map<std::string, ErrorCurves> resume_curves(const TrialStore& store,
                                                 const HeadProfile& partial) {
  const auto stored = store.load_profile();
  if (!stored) return {};
  if (stored->model.fingerprint != partial.model.fingerprint ||
      stored->provenance.seed != partial.provenance.seed ||
      stored->provenance.options != partial.provenance.options) {
    throw InputError(store.partial_path(), "what is left of the same run (model, profile, options)",
                     "another run's", "Delete the file, or repeat that run's command.");
  }
  return stored->error_curves;
}

void add_to(std::vector<float>& sum, const std::vector<float>& values) {
  if (sum.empty()) sum.assign(values.size(), 0.0F);
  for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
}

void divide(std::vector<float>& values, size_t count) {
  for (float& value : values) value /= static_cast<float>(count);
}

}  // namespace

std::string CalibrateOptions::selector_name() const {
  return score + std::to_string(selector_heads);
}

void CalibrateOptions::validate(const ModelShape& shape) const {
  check_range("selector heads", selector_heads, 1, shape.num_query_heads);
  for (const int64_t budget : budgets) check_range("budgets", budget, 2, int64_t{1} << 40);
  check_range("observation window", selection.observation_window, 1, 1024);
  check_range("pooling kernel", selection.pooling_kernel, 1, 1023);
  if (selection.pooling_kernel % 2 == 0) {
    throw InputError("pooling kernel", "an odd number", std::to_string(selection.pooling_kernel));
  }
  check_range("sink tokens", selection.num_sink_tokens, 0, 1024);
  check_range("max answer tokens", max_answer_tokens, 1, 512);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
  if (!(save_every_seconds > 0.0)) {
    throw InputError("save interval", "a time above 0 s", std::to_string(save_every_seconds));
  }
}

ErrorCurves combine_curves(const std::vector<ErrorCurves>& samples) {
  ErrorCurves combined;
  if (samples.empty()) return combined;
  combined.budgets = samples.front().budgets;
  for (const ErrorCurves& sample : samples) {
    const std::string& task = sample.tasks.at(0);
    if (std::find(combined.tasks.begin(), combined.tasks.end(), task) == combined.tasks.end()) {
      combined.tasks.push_back(task);
    }
  }
  for (const std::string& task : combined.tasks) {
    ErrorCurves sum;
    size_t count = 0;
    for (const ErrorCurves& sample : samples) {
      if (sample.tasks[0] != task) continue;
      add_to(sum.samples, sample.samples);
      add_to(sum.samples_summed, sample.samples_summed);
      add_to(sum.kv_head, sample.kv_head);
      ++count;
    }
    for (auto* values : {&sum.samples, &sum.samples_summed, &sum.kv_head}) divide(*values, count);
    combined.samples.insert(combined.samples.end(), sum.samples.begin(), sum.samples.end());
    combined.samples_summed.insert(combined.samples_summed.end(), sum.samples_summed.begin(),
                                   sum.samples_summed.end());
    add_to(combined.layer, sum.samples);
    add_to(combined.kv_head, sum.kv_head);
  }
  divide(combined.layer, combined.tasks.size());
  divide(combined.kv_head, combined.tasks.size());
  return combined;
}

CalibrateOutcome calibrate(const MeasuredModel& model,
                           const HeadProfile& profile,
                           const std::vector<TaskSample>& samples,
                           const CalibrateOptions& options,
                           ProgressSink& progress,
                           TrialStore* store) {
  options.validate(model.identity.shape);
  outputs::check_model_match("the profile", profile.model, model.identity,
                             options.allow_other_checkpoint);
  check_samples(model, samples, options);
  const EvictionErrorOptions error_options{.budgets = complete_budgets(options.budgets),
                                           .selector_heads = choose_heads(profile, options),
                                           .selection = options.selection,
                                           .max_answer_tokens = options.max_answer_tokens,
                                           .chunk_tokens = options.chunk_tokens};
  // The partial file: one entry per sample, no probes and no scores.
  HeadProfile partial;
  partial.model = model.identity;
  partial.provenance = profile.provenance;
  record_options(partial.provenance, options, samples);
  partial.provenance.options["calibrate.heads"] =
      sha256_hex(join_heads(error_options.selector_heads));
  if (store != nullptr) partial.error_curves = resume_curves(*store, partial);

  CalibrateOutcome outcome;
  outcome.profile = profile;
  std::vector<ErrorCurves> measured;
  progress.begin("calibration samples", static_cast<int64_t>(samples.size()));
  Clock::time_point saved = Clock::now();
  for (const TaskSample& sample : samples) {
    const auto [entry, is_new] = partial.error_curves.try_emplace(curve_name(sample));
    if (is_new && progress.interrupted()) {
      partial.error_curves.erase(entry);
      break;
    }
    if (is_new) {
      entry->second = measure_eviction_error(model, sample, error_options);
    } else {
      ++outcome.num_resumed;
    }
    measured.push_back(entry->second);
    progress.advance(static_cast<int64_t>(measured.size()));
    if (store != nullptr && is_new &&
        std::chrono::duration<double>(Clock::now() - saved).count() > options.save_every_seconds) {
      store->save(partial);
      saved = Clock::now();
    }
  }
  outcome.complete = measured.size() == samples.size();
  if (outcome.complete) {
    record_options(outcome.profile.provenance, options, samples);
    outcome.profile.error_curves[options.selector_name()] = combine_curves(measured);
  } else if (store != nullptr) {
    store->save(partial);
  }
  return outcome;
}

}  // namespace headscope::profiler
