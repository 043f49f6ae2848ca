#include "profiler/calibrate_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

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

std::vector<int64_t> ascending(std::vector<int64_t> budgets) {
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  return budgets;
}

std::vector<int64_t> complete_budgets(const CalibrateOptions& options) {
  std::vector<int64_t> budgets = options.budgets;
  budgets.push_back(kPaperBudget);
  budgets.insert(budgets.end(), options.kl_budgets.begin(), options.kl_budgets.end());
  return ascending(std::move(budgets));
}

std::string describe_selection(const SelectionOptions& selection) {
  const char* pooling = selection.pooling == Pooling::kAverage ? "average"
                        : selection.pooling == Pooling::kMax   ? "max"
                                                               : "none";
  return "window " + std::to_string(selection.observation_window) + ", pooling " + pooling + " " +
         std::to_string(selection.pooling_kernel) + ", sinks " +
         std::to_string(selection.num_sink_tokens);
}

// Which heads rank which keys, as one hash.
std::string judges_hash(const std::vector<KeySelector>& selectors) {
  std::string text;
  for (const KeySelector& selector : selectors) {
    for (const auto& layer : selector.judges) {
      for (const auto& heads : layer) text += join_values(heads) + ";";
      text += "|";
    }
  }
  return sha256_hex(text);
}

std::string describe_mix(const TaskMix& mix) {
  std::string text;
  for (const auto& [task, weight] : mix) {
    text += (text.empty() ? "" : ",") + task + "=" + join_values(std::vector<double>{weight});
  }
  return text.empty() ? "equal" : text;
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
  for (const std::string& name : options.stored_names()) {
    const std::string prefix = "calibrate." + name + ".";
    provenance.options[prefix + "budgets"] = join_values(complete_budgets(options));
    provenance.options[prefix + "kl_budgets"] = join_values(ascending(options.kl_budgets));
    provenance.options[prefix + "selection"] = describe_selection(options.selection);
    provenance.options[prefix + "max_answer_tokens"] = std::to_string(options.max_answer_tokens);
    provenance.options[prefix + "chunk_tokens"] = std::to_string(options.chunk_tokens);
    provenance.options[prefix + "tasks"] = tasks;
    provenance.options[prefix + "task_mix"] = describe_mix(options.mix);
  }
}

void check_samples(const MeasuredModel& model,
                   const std::vector<TaskSample>& samples,
                   const CalibrateOptions& options) {
  if (samples.empty()) throw InputError("calibration", "at least one sample", "none");
  for (const TaskSample& sample : samples) {
    if (!options.mix.empty() && options.mix.count(sample.task) == 0) {
      throw InputError("task mix", "a weight for every task", "none for " + sample.task);
    }
  }
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

// The curves of one sample under every selector: taken from `known` where they all are, else
// measured and added to it. Second: whether they were measured.
std::pair<std::vector<ErrorCurves>, bool> curves_of(const MeasuredModel& model,
                                                    const TaskSample& sample,
                                                    const EvictionErrorOptions& options,
                                                    std::map<std::string, ErrorCurves>& known) {
  std::vector<ErrorCurves> curves;
  for (const KeySelector& selector : options.selectors) {
    const auto found = known.find(selector.name + "." + curve_name(sample));
    if (found == known.end()) break;
    curves.push_back(found->second);
  }
  if (curves.size() == options.selectors.size()) return {std::move(curves), false};
  curves = measure_eviction_error(model, sample, options);
  for (size_t s = 0; s < curves.size(); ++s) {
    known[options.selectors[s].name + "." + curve_name(sample)] = curves[s];
  }
  return {std::move(curves), true};
}

EvictionErrorOptions error_options(const CalibrateOptions& options, const HeadProfile& profile) {
  EvictionErrorOptions error{.budgets = complete_budgets(options),
                             .selectors = {},
                             .kl_budgets = ascending(options.kl_budgets),
                             .selection = options.selection,
                             .max_answer_tokens = options.max_answer_tokens,
                             .chunk_tokens = options.chunk_tokens};
  for (const std::string& wanted : options.selectors) {
    error.selectors.push_back(make_key_selector(wanted, profile, options.heads));
  }
  return error;
}

}  // namespace

std::vector<std::string> CalibrateOptions::stored_names() const {
  std::vector<std::string> names;
  for (const std::string& wanted : selectors) names.push_back(key_selector_name(wanted, heads));
  return names;
}

void CalibrateOptions::validate(const ModelShape& shape) const {
  check_range("selector heads", heads.layer_heads, 1, shape.num_query_heads);
  check_range("selector heads of a group", heads.group_heads, 1, shape.query_group_size());
  std::vector<std::string> names = stored_names();
  std::sort(names.begin(), names.end());
  if (names.empty() || std::adjacent_find(names.begin(), names.end()) != names.end()) {
    throw InputError("selectors", "one or more, each once", join_values(selectors));
  }
  for (const int64_t budget : kl_budgets) check_range("KL budgets", budget, 2, int64_t{1} << 40);
  for (const auto& [task, weight] : mix) {
    if (!(weight > 0.0) || !std::isfinite(weight)) {
      throw InputError("task mix: " + task, "a weight above 0", std::to_string(weight));
    }
  }
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
  const EvictionErrorOptions measuring = error_options(options, profile);
  // The partial file: one entry per sample, no probes and no scores.
  HeadProfile partial;
  partial.model = model.identity;
  partial.provenance = profile.provenance;
  record_options(partial.provenance, options, samples);
  partial.provenance.options["calibrate.heads"] = judges_hash(measuring.selectors);
  if (store != nullptr) partial.error_curves = resume_curves(*store, partial);

  CalibrateOutcome outcome;
  outcome.profile = profile;
  std::vector<std::vector<ErrorCurves>> measured(measuring.selectors.size());
  progress.begin("calibration samples", static_cast<int64_t>(samples.size()));
  Clock::time_point saved = Clock::now();
  int64_t reached = 0;
  for (const TaskSample& sample : samples) {
    if (progress.interrupted()) break;
    auto [curves, is_new] = curves_of(model, sample, measuring, partial.error_curves);
    if (!is_new) ++outcome.num_resumed;
    for (size_t s = 0; s < curves.size(); ++s) measured[s].push_back(std::move(curves[s]));
    progress.advance(++reached);
    if (store != nullptr && is_new &&
        std::chrono::duration<double>(Clock::now() - saved).count() > options.save_every_seconds) {
      store->save(partial);
      saved = Clock::now();
    }
  }
  outcome.complete = reached == static_cast<int64_t>(samples.size());
  if (outcome.complete) {
    record_options(outcome.profile.provenance, options, samples);
    for (size_t s = 0; s < measured.size(); ++s) {
      outcome.profile.error_curves[measuring.selectors[s].name] =
          combine_curves(measured[s], options.mix);
    }
  } else if (store != nullptr) {
    store->save(partial);
  }
  return outcome;
}

}  // namespace headscope::profiler
