#include "profiler/probe_rounds.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "analysis/seeded_shuffle.h"

namespace headscope::profiler {

std::vector<Probe> mixed_order(std::vector<Probe> probes, uint64_t seed) {
  std::vector<size_t> shuffled(probes.size());
  std::iota(shuffled.begin(), shuffled.end(), size_t{0});
  std::mt19937_64 random(seed);
  analysis::seeded_shuffle(shuffled, random);

  using Kind = std::pair<std::string, bool>;
  const auto kind_of = [&](size_t index) {
    return Kind(probes[index].family, probes[index].is_control);
  };
  std::map<Kind, size_t> sizes, placed;
  for (const size_t index : shuffled) ++sizes[kind_of(index)];
  std::vector<std::pair<double, size_t>> order;  // how far through its kind, which probe
  for (const size_t index : shuffled) {
    const Kind kind = kind_of(index);
    order.emplace_back(static_cast<double>(placed[kind]++) / static_cast<double>(sizes[kind]),
                       index);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Probe> mixed;
  for (const auto& [share, index] : order) mixed.push_back(std::move(probes[index]));
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
