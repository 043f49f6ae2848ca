#include "profiler/probe_rounds.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "analysis/seeded_shuffle.h"
#include "profiler/probe_schedule.h"

namespace headscope::profiler {

std::vector<Probe> mixed_order(std::vector<Probe> probes, uint64_t seed) {
  std::vector<WorkUnit> shuffled = schedule_probes(probes);
  std::mt19937_64 random(seed);
  analysis::seeded_shuffle(shuffled, random);

  using Kind = std::pair<std::string, bool>;
  const auto kind_of = [&](const WorkUnit& unit) {
    const Probe& first = probes[unit.front()];
    return Kind(first.family, first.is_control);
  };
  std::map<Kind, size_t> sizes, placed;
  for (const WorkUnit& unit : shuffled) sizes[kind_of(unit)] += unit.size();
  std::vector<std::pair<double, const WorkUnit*>> order;  // how far through its kind, what
  for (const WorkUnit& unit : shuffled) {
    const Kind kind = kind_of(unit);
    order.emplace_back(static_cast<double>(placed[kind]) / static_cast<double>(sizes[kind]), &unit);
    placed[kind] += unit.size();
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Probe> mixed;
  for (const auto& [share, unit] : order) {
    for (const size_t index : *unit) mixed.push_back(std::move(probes[index]));
  }
  return mixed;
}

std::vector<size_t> round_ends(size_t num_probes, const analysis::StopOptions& options) {
  const auto step = static_cast<size_t>(options.look_back);
  std::vector<size_t> ends;
  size_t end = (static_cast<size_t>(options.min_probes) + step - 1) / step * step;
  for (; end < num_probes; end += std::max(step, end / 4 / step * step)) ends.push_back(end);
  ends.push_back(num_probes);
  return ends;
}

}  // namespace headscope::profiler
