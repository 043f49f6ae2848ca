// Water-filling: a total shared out along one line per head, bounded below and above, in whole
// units and to the unit.
#pragma once

#include <cstdint>
#include <vector>

namespace headscope::analysis {

// What a head gets at water level t: base + t * slope, kept within low..high.
struct ShareLine {
  double base = 0.0;
  double slope = 1.0;  // >= 0; 0 = the head moves only when all others are at a bound
  int64_t low = 0;
  int64_t high = 0;       // >= low
  double priority = 0.0;  // who gets what rounding leaves, where fractions and slopes are equal
};

// Units of every line, summing to `total`: the level is found at which the real shares sum to it,
// they are rounded down, and the rest goes one unit each to the largest fractions (equal fractions:
// steeper lines first, then by priority, then in order). Lines of equal base, low and high get no
// less where they are steeper. std::invalid_argument unless the bounds leave room for the total.
[[nodiscard]] std::vector<int64_t> share_along(const std::vector<ShareLine>& lines, int64_t total);

}  // namespace headscope::analysis
