#include "profiler/mode_agreement.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

namespace headscope::profiler {
namespace {

using QuestionKey = std::pair<std::string, std::string>;  // family, needle

// The index of the probe of `profile` that asks the same, -1 for none.
int64_t counterpart(const ProbeRecord& probe, const HeadProfile& profile) {
  int64_t best = -1;
  int64_t best_distance = 0;
  for (size_t i = 0; i < profile.probes.size(); ++i) {
    const ProbeRecord& other = profile.probes[i];
    if (other.family != probe.family || other.needle_id != probe.needle_id) continue;
    const int64_t distance = std::abs(other.context_length - probe.context_length);
    if (best >= 0 && distance >= best_distance) continue;
    best = static_cast<int64_t>(i);
    best_distance = distance;
  }
  return best;
}

}  // namespace

int64_t default_comparison(int64_t num_questions) {
  return std::clamp<int64_t>((num_questions + 19) / 20, 4, 24);
}

std::vector<Probe> comparison_probes(const std::vector<Probe>& exact,
                                     const HeadProfile& shared,
                                     int64_t count) {
  std::set<QuestionKey> asked;
  for (const ProbeRecord& probe : shared.probes) asked.emplace(probe.family, probe.needle_id);
  std::vector<const Probe*> candidates;
  for (const Probe& probe : exact) {
    if (!probe.is_control && probe.repeat_period == 0 &&
        asked.count({probe.family, probe.needle_id}) > 0) {
      candidates.push_back(&probe);
    }
  }
  const auto available = static_cast<int64_t>(candidates.size());
  const int64_t wanted = std::min(count, available);
  std::vector<Probe> chosen;
  std::map<QuestionKey, int64_t> times_chosen;
  for (int64_t i = 0; i < wanted; ++i) {
    const int64_t target = (2 * i + 1) * available / (2 * wanted);
    const auto cost = [&](size_t at) {
      const Probe& probe = *candidates[at];
      return std::pair(times_chosen[{probe.family, probe.needle_id}],
                       std::abs(static_cast<int64_t>(at) - target));
    };
    size_t best = candidates.size();
    for (size_t at = 0; at < candidates.size(); ++at) {
      if (candidates[at] == nullptr) continue;
      if (best == candidates.size() || cost(at) < cost(best)) best = at;
    }
    chosen.push_back(*candidates[best]);
    ++times_chosen[{chosen.back().family, chosen.back().needle_id}];
    candidates[best] = nullptr;
  }
  return chosen;
}

ModeAgreement mode_agreement(const HeadProfile& exact, const HeadProfile& shared) {
  ModeAgreement agreement;
  agreement.num_probes = static_cast<int64_t>(exact.probes.size());
  agreement.num_successful = exact.num_successful();
  const int64_t num_heads = exact.model.shape.num_layers * exact.model.shape.num_query_heads;
  std::vector<std::pair<size_t, size_t>> pairs;
  std::vector<ProbeRecord> questions;
  for (size_t i = 0; i < exact.probes.size(); ++i) {
    const int64_t other = counterpart(exact.probes[i], shared);
    if (other < 0) continue;
    pairs.emplace_back(i, static_cast<size_t>(other));
    questions.push_back(exact.probes[i]);
  }
  if (pairs.empty()) return agreement;
  const auto row = [&](const ScoreTable& table, size_t probe) {
    const auto first = table.samples.begin() + static_cast<std::ptrdiff_t>(probe) * num_heads;
    return std::vector<float>(first, first + num_heads);
  };
  for (const auto& [name, table] : exact.scores) {
    const auto found = shared.scores.find(name);
    if (found == shared.scores.end()) continue;
    std::vector<float> alone, among_others;
    for (const auto& [i, other] : pairs) {
      const std::vector<float> x = row(table, i), y = row(found->second, other);
      alone.insert(alone.end(), x.begin(), x.end());
      among_others.insert(among_others.end(), y.begin(), y.end());
    }
    agreement.scores[name] =
        analysis::paired_agreement(analysis::probe_samples(questions, alone, num_heads),
                                   analysis::probe_samples(questions, among_others, num_heads),
                                   analysis::family_mix_of(shared.provenance));
  }
  return agreement;
}

}  // namespace headscope::profiler
