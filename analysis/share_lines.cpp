#include "analysis/share_lines.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace headscope::analysis {
namespace {

double value_at(const ShareLine& line, double level) {
  const double value = line.slope > 0.0 ? line.base + level * line.slope : line.base;
  return std::clamp(value, static_cast<double>(line.low), static_cast<double>(line.high));
}

double sum_at(const std::vector<ShareLine>& lines, double level) {
  double sum = 0.0;
  for (const ShareLine& line : lines) sum += value_at(line, level);
  return sum;
}

// Levels at which a line reaches a bound: between two neighbours the sum is one straight line.
std::vector<double> bends_of(const std::vector<ShareLine>& lines) {
  std::vector<double> bends;
  for (const ShareLine& line : lines) {
    if (line.slope > 0.0) {
      bends.push_back((static_cast<double>(line.low) - line.base) / line.slope);
      bends.push_back((static_cast<double>(line.high) - line.base) / line.slope);
    }
  }
  std::sort(bends.begin(), bends.end());
  return bends;
}

std::vector<double> values_at(const std::vector<ShareLine>& lines, double level) {
  std::vector<double> values;
  for (const ShareLine& line : lines) values.push_back(value_at(line, level));
  return values;
}

// The sloped lines are at a bound and the total is not reached: now the others move, all alike.
std::vector<ShareLine> move_the_others(const std::vector<ShareLine>& lines, double level) {
  std::vector<ShareLine> others = lines;
  for (ShareLine& line : others) {
    line.base = value_at(line, level);
    line.slope = line.slope > 0.0 ? 0.0 : 1.0;
  }
  return others;
}

std::vector<double> real_shares(const std::vector<ShareLine>& lines,
                                double total,
                                bool others_may_move) {
  const std::vector<double> bends = bends_of(lines);
  if (bends.empty()) {
    return real_shares(move_the_others(lines, 0.0), total, /*others_may_move=*/false);
  }
  const double lowest = sum_at(lines, bends.front());
  const double highest = sum_at(lines, bends.back());
  if (others_may_move && (total < lowest || total > highest)) {
    return real_shares(move_the_others(lines, total < lowest ? bends.front() : bends.back()), total,
                       /*others_may_move=*/false);
  }
  const auto above = std::partition_point(bends.begin(), bends.end(),
                                          [&](double bend) { return sum_at(lines, bend) < total; });
  if (above == bends.begin() || above == bends.end()) {
    return values_at(lines, above == bends.begin() ? bends.front() : bends.back());
  }
  const double left = *(above - 1);
  const double right = *above;
  const double sum_left = sum_at(lines, left);
  const double sum_right = sum_at(lines, right);
  const double share = sum_right > sum_left ? (total - sum_left) / (sum_right - sum_left) : 1.0;
  return values_at(lines, left + share * (right - left));
}

}  // namespace

std::vector<int64_t> share_along(const std::vector<ShareLine>& lines, int64_t total) {
  int64_t least = 0;
  int64_t most = 0;
  for (const ShareLine& line : lines) {
    least += line.low;
    most += line.high;
  }
  if (lines.empty() || total < least || total > most) {
    throw std::invalid_argument("share_along: expected a total of " + std::to_string(least) +
                                " to " + std::to_string(most) + ", found " + std::to_string(total));
  }
  // Sums over many heads err by far less than this; shares that should be equal must count so.
  constexpr double kGrain = 0x1.0p-24;
  const std::vector<double> shares =
      real_shares(lines, static_cast<double>(total), /*others_may_move=*/true);
  std::vector<int64_t> units;
  std::vector<double> fractions;
  int64_t left = total;
  for (const double share : shares) {
    const double whole = std::floor(share + kGrain);
    units.push_back(static_cast<int64_t>(whole));
    fractions.push_back(std::round((share - whole) / kGrain));
    left -= units.back();
  }
  std::vector<size_t> order(lines.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (fractions[a] != fractions[b]) return fractions[a] > fractions[b];
    if (lines[a].slope != lines[b].slope) return lines[a].slope > lines[b].slope;
    return lines[a].priority > lines[b].priority;
  });
  if (left < 0) std::reverse(order.begin(), order.end());
  const int64_t step = left < 0 ? -1 : 1;
  while (left != 0) {
    for (const size_t i : order) {
      const int64_t moved = units[i] + step;
      if (left != 0 && moved >= lines[i].low && moved <= lines[i].high) {
        units[i] = moved;
        left -= step;
      }
    }
  }
  return units;
}

}  // namespace headscope::analysis
