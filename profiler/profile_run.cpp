#include "profiler/profile_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>

#include "outputs/input_error.h"
#include "outputs/sha256.h"
#include "profiler/answer_metrics.h"
#include "profiler/option_check.h"
#include "profiler/probe_reader.h"
#include "profiler/repeat_reader.h"
#include "profiler/scorer_registry.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

// One probe's outcome: its record and, per score, one number per head.
struct Trial {
  ProbeRecord record;
  std::map<std::string, std::vector<float>> samples;
};

ProbeRecord describe(const Probe& probe) {
  ProbeRecord record;
  record.id = probe.id;
  record.family = probe.family;
  record.needle_id = probe.needle_id;
  record.prompt_format = probe.prompt_format;
  record.context_length = static_cast<int64_t>(probe.prompt.size());
  record.asked_depth = probe.asked_depth;
  record.achieved_depth = probe.achieved_depth;
  record.needle_spans = probe.needle_spans;
  record.answer_spans = probe.answer_spans;
  record.answer = probe.answer;
  record.prompt_hash = prompt_hash(probe.prompt);
  return record;
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

// Nothing is asked of repeated tokens, so nothing can be answered wrongly.
Trial run_repeats(const Probe& probe,
                  int64_t chunk_tokens,
                  const MeasuredModel& model,
                  const ScorerSet& scorers) {
  Trial trial{describe(probe), {}};
  trial.record.success = true;
  trial.record.gate_value = 1.0;
  trial.samples =
      score_probe(scorers, model.identity.shape, probe, {read_repeats(model, probe, chunk_tokens)});
  return trial;
}

Trial run_probe(const Probe& probe,
                double success_threshold,
                ProbeReader& reader,
                const ModelShape& shape,
                const ScorerSet& scorers) {
  const ProbeAnswer answer = reader.read(probe);
  Trial trial{describe(probe), score_probe(scorers, shape, probe, answer.steps)};
  trial.record.response = answer.text;
  trial.record.gate_value = rouge1_recall(probe.answer, answer.text);
  trial.record.success = trial.record.gate_value > success_threshold;
  if (!trial.record.success) {
    for (auto& [name, samples] : trial.samples) {
      std::fill(samples.begin(), samples.end(), std::nanf(""));
    }
  }
  return trial;
}

HeadMatrix mixed_mean(const std::vector<ProbeRecord>& probes,
                      const std::vector<float>& samples,
                      const ModelShape& shape,
                      const analysis::FamilyMix& mix) {
  HeadMatrix mean(shape.num_layers, shape.num_query_heads);
  mean.values = analysis::mixed_mean(
      analysis::probe_samples(probes, samples, shape.num_layers * shape.num_query_heads), mix);
  return mean;
}

// The run's state: one place per probe, filled in any order.
class Trials {
 public:
  Trials(const std::vector<Probe>& probes,
         const ModelIdentity& model,
         const analysis::FamilyMix& mix,
         Provenance provenance)
      : probes_(probes), mix_(mix), trials_(probes.size()) {
    profile_.model = model;
    profile_.provenance = std::move(provenance);
  }

  // Takes over what an earlier run left, after checking that it was the same
  // run.
  int64_t resume(const HeadProfile& stored, const std::string& path) {
    const Provenance& now = profile_.provenance;
    if (stored.model.fingerprint != profile_.model.fingerprint ||
        stored.provenance.seed != now.seed || stored.provenance.options != now.options) {
      throw InputError(path, "what is left of the same run (model, seed and options)",
                       "another run's", "Delete the file, or repeat that run's command.");
    }
    const ModelShape& shape = profile_.model.shape;
    const auto heads = static_cast<size_t>(shape.num_layers * shape.num_query_heads);
    std::map<std::pair<int64_t, std::string>, size_t> places;
    for (size_t i = 0; i < probes_.size(); ++i) {
      places.emplace(std::pair(probes_[i].id, prompt_hash(probes_[i].prompt)), i);
    }
    int64_t resumed = 0;
    for (size_t i = 0; i < stored.probes.size(); ++i) {
      const auto place = places.find({stored.probes[i].id, stored.probes[i].prompt_hash});
      if (place == places.end()) continue;
      Trial trial{stored.probes[i], {}};
      for (const auto& [name, table] : stored.scores) {
        const auto begin = table.samples.begin() + static_cast<std::ptrdiff_t>(i * heads);
        trial.samples.emplace(
            name, std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(heads)));
      }
      trials_[place->second] = std::move(trial);
      ++resumed;
    }
    seconds_before_ = stored.provenance.seconds;
    return resumed;
  }

  [[nodiscard]] bool has(size_t index) const { return trials_[index].has_value(); }
  void add(size_t index, Trial trial) { trials_[index] = std::move(trial); }

  // What is done so far, in the order of the probes.
  [[nodiscard]] HeadProfile profile(const std::vector<std::string>& scores) const {
    HeadProfile profile = profile_;
    profile.provenance.seconds =
        seconds_before_ + std::chrono::duration<double>(Clock::now() - started_).count();
    for (const std::string& name : scores) profile.scores[name];
    for (const std::optional<Trial>& trial : trials_) {
      if (!trial) continue;
      profile.probes.push_back(trial->record);
      for (const auto& [name, samples] : trial->samples) {
        std::vector<float>& table = profile.scores[name].samples;
        table.insert(table.end(), samples.begin(), samples.end());
      }
    }
    for (auto& [name, table] : profile.scores) {
      table.mean = mixed_mean(profile.probes, table.samples, profile.model.shape, mix_);
    }
    return profile;
  }

 private:
  const std::vector<Probe>& probes_;
  analysis::FamilyMix mix_;
  std::vector<std::optional<Trial>> trials_;
  HeadProfile profile_;  // model and provenance
  double seconds_before_ = 0.0;
  Clock::time_point started_ = Clock::now();
};

// Sorted by their tokens, prompts stand next to those they share most with.
std::vector<size_t> order_by_prefix(const std::vector<Probe>& probes) {
  std::vector<size_t> order(probes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return probes[a].prompt < probes[b].prompt; });
  return order;
}

Provenance complete_provenance(Provenance provenance, const ProfileOptions& options) {
  auto& stored = provenance.options;
  stored["scores"] = join_values(options.scores);
  stored["srh_span"] = options.srh_span == SpanChoice::kNeedle ? "needle" : "answer";
  stored["success_threshold"] = join_values(std::vector<double>{options.success_threshold});
  stored["max_answer_tokens"] = std::to_string(options.max_answer_tokens);
  stored["extra_answer_tokens"] = std::to_string(options.extra_answer_tokens);
  stored[analysis::kFamilyMixOption] = analysis::format_family_mix(options.mix);
  stored["chunk_tokens"] = std::to_string(options.chunk_tokens);
  return provenance;
}

}  // namespace

std::string prompt_hash(const std::vector<int64_t>& prompt) {
  std::string text;
  for (const int64_t id : prompt) text += std::to_string(id) + ' ';
  return sha256_hex(text);
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
                             TrialStore* store) {
  const ModelShape& shape = model.identity.shape;
  options.validate(shape);
  if (probes.empty()) throw InputError("probes", "at least one", "none");
  std::vector<std::string> families;
  for (const Probe& probe : probes) {
    families.push_back(probe.family);
    check_probe(probe);
  }
  analysis::check_family_mix(options.mix, families);
  const int64_t longest = longest_context(probes, options, model.decoder.config());
  Trials trials(probes, model.identity, options.mix, complete_provenance(provenance, options));
  ProfileOutcome outcome;
  if (store != nullptr) {
    if (const auto stored = store->load_profile()) {
      outcome.num_resumed = trials.resume(*stored, store->partial_path());
    }
  }
  const ScorerSet scorers = make_scorers(options.scores, shape, {options.srh_span});
  ProbeReader reader(model, options, longest, scorers);

  int64_t done = outcome.num_resumed;
  progress.begin("probes", static_cast<int64_t>(probes.size()));
  progress.advance(done);
  Clock::time_point saved = Clock::now();
  for (const size_t index : order_by_prefix(probes)) {
    if (trials.has(index)) continue;
    if (progress.interrupted()) break;
    const Probe& probe = probes[index];
    trials.add(index, probe.repeat_period > 0
                          ? run_repeats(probe, options.chunk_tokens, model, scorers)
                          : run_probe(probe, options.success_threshold, reader, shape, scorers));
    progress.advance(++done);
    if (store != nullptr &&
        std::chrono::duration<double>(Clock::now() - saved).count() > options.save_every_seconds) {
      store->save(trials.profile(options.scores));
      saved = Clock::now();
    }
  }
  // From here on nothing touches the model: the profile is only numbers.
  outcome.profile = trials.profile(options.scores);
  outcome.complete = done == static_cast<int64_t>(probes.size());
  if (!outcome.complete && store != nullptr) store->save(outcome.profile);
  return outcome;
}

}  // namespace headscope::profiler
