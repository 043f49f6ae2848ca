// The curve allocator's rule: its hulls by hand, its budgets against brute force.
#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>

#include "analysis/curve_allocator.h"
#include "analysis/error_hull.h"
#include "tests/analysis/allocator_cases.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;
using testing::between;
using testing::flat;
using testing::input_of;
using testing::uniform;

TEST_CASE("a hull is convex, falls, and touches the curve from below", "[analysis]") {
  // 0.5 rises to 0.6 (noise), and (30, 0.45) lies above the chord from (20, 0.5) to (40, 0.2).
  const std::vector<HullPoint> hull =
      error_hull({{10, 0.5}, {20, 0.6}, {30, 0.45}, {40, 0.2}, {50, 0.19}});
  REQUIRE(hull.size() == 3);
  CHECK(hull[1].tokens == 40);
  CHECK(hull_error(hull, 25) == Approx(0.35));
  CHECK(hull_error(hull, 5) == Approx(0.55));
  CHECK(hull_error(hull, 45) == Approx(0.195));
  CHECK(hull_error(hull, 500) == Approx(0.19));
  // Units of 8 tokens, from the second to the ninth: the bends at 40 and 50 end runs, and 48..56 is
  // cut in two by the last one.
  const std::vector<GainRun> runs = gain_runs(hull, 1, 9, 8);
  const std::vector<std::pair<double, int64_t>> expected{
      {0.08, 1}, {0.08, 3}, {0.008, 1}, {0.002, 1}, {0.0, 2}};
  REQUIRE(runs.size() == expected.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    CHECK(runs[i].gain == Approx(expected[i].first).margin(1e-12));
    CHECK(runs[i].units == expected[i].second);
  }
}

// The least cost of any budgets in floor..ceiling that sum to the total.
double least_cost(const AllocatorInput& input,
                  int64_t floor,
                  int64_t ceiling,
                  int64_t total,
                  std::vector<int64_t>& budgets,
                  size_t head) {
  const auto heads = static_cast<int64_t>(budgets.size() - head);
  if (total < heads * floor || total > heads * ceiling) {
    return std::numeric_limits<double>::infinity();
  }
  if (head == budgets.size()) return CurveAllocator::cost(input, budgets);
  double least = std::numeric_limits<double>::infinity();
  for (int64_t budget = floor; budget <= std::min(ceiling, total); ++budget) {
    budgets[head] = budget;
    least = std::min(least, least_cost(input, floor, ceiling, total - budget, budgets, head + 1));
  }
  return least;
}

TEST_CASE("no budgets of the same total cost less than the curve allocator's", "[analysis]") {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    AllocatorInput input = input_of(2, 2, 1, between(random, 6, 9));
    input.extra_tokens = between(random, 0, 3);
    input.selection.observation_window = 2;
    input.curves.budgets = {2, 3, 5, 8, 12, 20};
    for (size_t i = 0; i < 4 * 6; ++i) input.curves.error.push_back(uniform(random));
    input.layer_weights = {0.1 + uniform(random), 0.1 + uniform(random)};
    input.max_tokens = between(random, 10, 14);
    if (random() % 2 == 0) input.objective = CurveObjective::kPlain;
    const Allocation allocation = CurveAllocator().allocate(input);
    std::vector<int64_t> budgets(4);
    const double least =
        least_cost(input, 2, *input.max_tokens, allocation.lint.nominal_tokens, budgets, 0);
    CHECK(CurveAllocator::cost(input, flat(allocation.budget_tokens)) ==
          Approx(least).epsilon(1e-9).margin(1e-12));
  }
}

TEST_CASE("in pages too no budgets of the same total cost less", "[analysis]") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    AllocatorInput input = input_of(2, 2, 1, between(random, 20, 30));
    input.page_tokens = 4;
    input.selection.observation_window = 4;
    input.curves.budgets = {3, 6, 11, 17, 29, 50};
    for (size_t i = 0; i < 4 * 6; ++i) input.curves.error.push_back(uniform(random));
    const Allocation allocation = CurveAllocator().allocate(input);
    double least = std::numeric_limits<double>::infinity();
    const int64_t total = allocation.lint.nominal_tokens / 4;
    for (int64_t a = 1; a < total; ++a) {
      for (int64_t b = 1; a + b < total; ++b) {
        for (int64_t c = 1; a + b + c < total; ++c) {
          least = std::min(
              least, CurveAllocator::cost(input, {4 * a, 4 * b, 4 * c, 4 * (total - a - b - c)}));
        }
      }
    }
    CHECK(CurveAllocator::cost(input, flat(allocation.budget_tokens)) ==
          Approx(least).epsilon(1e-9).margin(1e-12));
  }
}

TEST_CASE("measured squares and sensitivities move the curve allocator's tokens", "[analysis]") {
  AllocatorInput input = input_of(2, 1, 1, 20);
  input.selection.observation_window = 2;
  input.curves.budgets = {10, 30};
  input.curves.error = {0.4, 0.0, 0.3, 0.0};
  const CurveAllocator allocator;
  CHECK(flat(allocator.allocate(input).budget_tokens) == std::vector<int64_t>{30, 10});
  input.curves.squared_error = {0.16, 0.0, 0.2, 0.0};
  CHECK(flat(allocator.allocate(input).budget_tokens) == std::vector<int64_t>{10, 30});
  input.layer_weights = {2.0, 1.0};
  CHECK(flat(allocator.allocate(input).budget_tokens) == std::vector<int64_t>{30, 10});
}

TEST_CASE("what has no more gain anywhere is spread evenly, and budgets beyond the curves are said",
          "[analysis]") {
  AllocatorInput input = input_of(2, 2, 1, 100);
  input.curves.budgets = {8, 16};
  input.curves.error = {0.4, 0.1, 0.4, 0.1, 0.4, 0.1, 0.4, 0.1};
  const Allocation allocation = CurveAllocator().allocate(input);
  CHECK(flat(allocation.budget_tokens) == std::vector<int64_t>{100, 100, 100, 100});
  CHECK_THAT(allocation.lint.notes.at(0), Contains("4 KV heads") && Contains("16 tokens"));
}

}  // namespace
}  // namespace headscope::analysis
