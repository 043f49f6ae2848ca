#include <catch2/catch.hpp>
#include <limits>

#include "analysis/layer_error.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;

// Two tasks, two layers, budgets 16 and 32.
ErrorCurves small_curves() {
  ErrorCurves curves;
  curves.budgets = {16, 32};
  curves.tasks = {"needle", "qa"};
  curves.samples_summed = {9, 1, 9, 3, 9, 30, 9, 10};
  curves.samples = {9, 2, 9, 2, 9, 1, 9, 4};
  return curves;
}

TEST_CASE("every task weighs the same, whatever the length of its answers", "[analysis]") {
  // At 32 tokens: (1, 3) -> (.25, .75), (30, 10) -> (.75, .25); the mean is even.
  const LayerError error = layer_error(small_curves(), 2);
  CHECK(error.values[0] == Approx(0.5));
  CHECK(error.values[1] == Approx(0.5));
  CHECK(error.notes.empty());
}

TEST_CASE("the mean over steps is read when asked for", "[analysis]") {
  // (2, 2) -> (.5, .5), (1, 4) -> (.2, .8).
  const LayerError error = layer_error(small_curves(), 2, {32, ErrorSteps::kMean});
  CHECK(error.values[0] == Approx(0.35));
  CHECK(error.values[1] == Approx(0.65));
}

TEST_CASE("a task without error is left out and said so", "[analysis]") {
  ErrorCurves curves = small_curves();
  curves.samples_summed[5] = 0.0F;
  curves.samples_summed[7] = 0.0F;
  const LayerError error = layer_error(curves, 2);
  CHECK(error.values[0] == Approx(0.25));
  REQUIRE(error.notes.size() == 1);
  CHECK_THAT(error.notes[0], Contains("qa"));
}

TEST_CASE("curves that cannot be used are refused in words", "[analysis]") {
  CHECK_THROWS_WITH(layer_error(small_curves(), 2, {64, ErrorSteps::kSummed}),
                    Contains("64") && Contains("16, 32"));
  ErrorCurves curves = small_curves();
  curves.samples_summed[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(layer_error(curves, 2), Contains("needle") && Contains("layer 0"));
  curves.samples_summed[1] = -1.0F;
  CHECK_THROWS_AS(layer_error(curves, 2), InputError);
  CHECK_THROWS_AS(layer_error(small_curves(), 3), InputError);
  curves.samples_summed.assign(8, 0.0F);
  CHECK_THROWS_WITH(layer_error(curves, 2), Contains("at least one task"));
}

}  // namespace
}  // namespace headscope::analysis
