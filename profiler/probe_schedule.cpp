#include "profiler/probe_schedule.h"

#include <algorithm>
#include <numeric>

namespace headscope::profiler {
namespace {

// A batch is worth its while where what is shared is most of every prompt.
constexpr double kSharedShare = 0.75;

int64_t last_span_end(const Probe& probe) {
  int64_t end = 0;
  for (const auto* spans : {&probe.needle_spans, &probe.answer_spans}) {
    for (const TokenSpan& span : *spans) end = std::max(end, span.end);
  }
  return end;
}

// Whether a unit with `prefix` shared tokens may hold the probe.
bool fits_prefix(const Probe& probe, int64_t prefix) {
  const auto size = static_cast<int64_t>(probe.prompt.size());
  return probe.repeat_period == 0 && last_span_end(probe) <= prefix && prefix < size &&
         static_cast<double>(prefix) >= kSharedShare * static_cast<double>(size);
}

}  // namespace

int64_t common_prefix(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

std::vector<WorkUnit> schedule_probes(const std::vector<Probe>& probes) {
  std::vector<size_t> order(probes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return probes[a].prompt < probes[b].prompt; });
  std::vector<WorkUnit> units;
  int64_t prefix = 0;  // what the probes of the last unit share
  for (const size_t next : order) {
    if (!units.empty() && static_cast<int64_t>(units.back().size()) < kLargestUnit) {
      WorkUnit& unit = units.back();
      const Probe& last = probes[unit.back()];
      int64_t shared = common_prefix(last.prompt, probes[next].prompt);
      if (unit.size() > 1) shared = std::min(shared, prefix);
      const bool all_fit = fits_prefix(probes[next], shared) &&
                           std::all_of(unit.begin(), unit.end(), [&](size_t member) {
                             return fits_prefix(probes[member], shared);
                           });
      if (all_fit) {
        unit.push_back(next);
        prefix = shared;
        continue;
      }
    }
    units.push_back({next});
  }
  return units;
}

}  // namespace headscope::profiler
