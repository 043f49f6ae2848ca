// From a measured error curve to what one more unit of budget is worth: the lower convex hull.
#pragma once

#include <cstdint>
#include <vector>

namespace headscope::analysis {

// A convex, non-increasing, piecewise linear function of tokens.
struct HullPoint {
  double tokens = 0.0;
  double error = 0.0;
};

// Lower convex hull of the points (budgets ascending, at least one), made non-increasing first: a
// larger budget keeps a superset of the keys, so a rise is noise. A mixture of two budgets costs
// the chord between them, and a greedy choice is optimal on the hull alone.
[[nodiscard]] std::vector<HullPoint> error_hull(const std::vector<HullPoint>& points);

// The hull at `tokens`. Below the first point its first edge goes on; after the last it is flat.
[[nodiscard]] double hull_error(const std::vector<HullPoint>& hull, double tokens);

// Neighbouring units that are worth the same: the error each of them takes away.
struct GainRun {
  double gain = 0.0;  // >= 0
  int64_t units = 0;  // >= 1
};

// The worth of the units after `floor` up to `ceiling`, each of `unit_tokens` tokens, in order:
// gains never rise along it.
[[nodiscard]] std::vector<GainRun> gain_runs(const std::vector<HullPoint>& hull,
                                             int64_t floor,
                                             int64_t ceiling,
                                             int64_t unit_tokens);

}  // namespace headscope::analysis
