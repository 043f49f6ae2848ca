#include "profiler/trial_table.h"

#include <limits>
#include <stdexcept>

namespace headscope::profiler {
namespace {

void add_samples(std::map<std::string, ScoreTable>& scores,
                 const std::vector<std::string>& names,
                 const Trial& trial,
                 bool counts) {
  for (const std::string& name : names) {
    const auto found = trial.samples.find(name);
    if (found == trial.samples.end()) {
      throw std::invalid_argument("trial " + trial.address + ": no samples of score " + name);
    }
    std::vector<float>& table = scores[name].samples;
    if (counts) {
      table.insert(table.end(), found->second.begin(), found->second.end());
    } else {
      table.resize(table.size() + found->second.size(), std::numeric_limits<float>::quiet_NaN());
    }
  }
}

}  // namespace

ProbeRecord describe_probe(const Probe& probe) {
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

HeadMatrix mean_over_probes(const std::vector<ProbeRecord>& probes,
                            const std::vector<float>& samples,
                            const ModelShape& shape,
                            const analysis::FamilyMix& mix) {
  HeadMatrix mean(shape.num_layers, shape.num_query_heads);
  mean.values = analysis::mixed_mean(
      analysis::probe_samples(probes, samples, shape.num_layers * shape.num_query_heads), mix);
  return mean;
}

HeadProfile profile_of_trials(const std::vector<TrialOfProbe>& trials,
                              const ModelIdentity& model,
                              const std::vector<std::string>& scores,
                              double success_threshold,
                              const analysis::FamilyMix& mix) {
  HeadProfile profile;
  profile.model = model;
  for (const std::string& name : scores) profile.scores[name];
  for (const auto& [probe, trial] : trials) {
    if (trial == nullptr) continue;
    ProbeRecord record = describe_probe(*probe);
    record.response = trial->response;
    record.gate_value = trial->gate_value;
    record.success = trial->gate_value > success_threshold || probe->repeat_period > 0;
    if (probe->is_control) {
      add_samples(profile.controls.scores, scores, *trial, /*counts=*/true);
      profile.controls.probes.push_back(std::move(record));
    } else {
      add_samples(profile.scores, scores, *trial, record.success);
      profile.probes.push_back(std::move(record));
    }
  }
  for (auto& [name, table] : profile.scores) {
    table.mean = mean_over_probes(profile.probes, table.samples, model.shape, mix);
  }
  for (auto& [name, table] : profile.controls.scores) {
    table.mean = mean_over_probes(profile.controls.probes, table.samples, model.shape, {});
  }
  return profile;
}

}  // namespace headscope::profiler
