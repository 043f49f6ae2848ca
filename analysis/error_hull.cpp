#include "analysis/error_hull.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace headscope::analysis {
namespace {

double slope_between(const HullPoint& a, const HullPoint& b) {
  return (b.error - a.error) / (b.tokens - a.tokens);
}

}  // namespace

std::vector<HullPoint> error_hull(const std::vector<HullPoint>& points) {
  if (points.empty()) throw std::invalid_argument("error_hull: no points");
  std::vector<HullPoint> hull;
  double lowest = points.front().error;
  for (HullPoint point : points) {
    lowest = std::min(lowest, point.error);
    point.error = lowest;
    while (hull.size() > 1 &&
           slope_between(hull[hull.size() - 2], hull.back()) >= slope_between(hull.back(), point)) {
      hull.pop_back();
    }
    hull.push_back(point);
  }
  return hull;
}

double hull_error(const std::vector<HullPoint>& hull, double tokens) {
  if (hull.size() == 1 || tokens >= hull.back().tokens) return hull.back().error;
  const auto right = std::find_if(hull.begin() + 1, hull.end(),
                                  [&](const HullPoint& point) { return tokens < point.tokens; });
  const HullPoint& left = *(right - 1);
  return left.error + slope_between(left, *right) * (tokens - left.tokens);
}

std::vector<GainRun> gain_runs(const std::vector<HullPoint>& hull,
                               int64_t floor,
                               int64_t ceiling,
                               int64_t unit_tokens) {
  std::vector<GainRun> runs;
  const auto unit = static_cast<double>(unit_tokens);
  int64_t at = floor;
  const auto add = [&](int64_t until) {
    until = std::min(until, ceiling);
    if (until <= at) return;
    const double units = static_cast<double>(until - at);
    const double fall = hull_error(hull, static_cast<double>(at) * unit) -
                        hull_error(hull, static_cast<double>(until) * unit);
    double gain = std::max(0.0, fall / units);
    // Rounding must not make a later unit look better than an earlier one.
    if (!runs.empty()) gain = std::min(gain, runs.back().gain);
    runs.push_back({gain, until - at});
    at = until;
  };
  for (const HullPoint& bend : hull) {
    const double place = bend.tokens / unit;
    add(static_cast<int64_t>(std::floor(place)));
    // The unit that the bend cuts in two is a run of its own.
    add(static_cast<int64_t>(std::ceil(place)));
  }
  add(ceiling);
  return runs;
}

}  // namespace headscope::analysis
