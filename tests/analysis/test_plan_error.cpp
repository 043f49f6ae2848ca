#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>

#include "analysis/plan_error.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

// Two layers of two KV heads at budgets 16, 32 and 64.
ErrorCurves small_curves() {
  ErrorCurves curves;
  curves.budgets = {16, 32, 64};
  curves.tasks = {"qa"};
  curves.kv_head.assign(12, 0.5F);
  curves.kv_head_squared = {1, 0.5F, 0.25F, 2, 1, 0, 0.25F, 0.25F, 0, 0.75F, 0.25F, 0};
  return curves;
}

BudgetPlan plan_of(std::vector<std::vector<int64_t>> budgets) {
  BudgetPlan plan;
  plan.budget_tokens = std::move(budgets);
  return plan;
}

TEST_CASE("a plan's predicted error is read off the curves, head by head", "[analysis]") {
  // Layer 0: 0.5 + 1 -> sqrt(1.5); layer 1: 0 + 0.25 -> 0.5.
  CHECK(predict_plan_error(small_curves(), plan_of({{32, 32}, {64, 32}})).local ==
        Approx((std::sqrt(1.5) + 0.5) / 2.0));
  // Between two budgets in proportion: 24 lies half-way, 40 a quarter. Outside: the last known.
  CHECK(predict_plan_error(small_curves(), plan_of({{24, 40}, {1, 4096}})).local ==
        Approx((std::sqrt(0.75 + 0.75) + 0.5) / 2.0));
  CHECK(std::isnan(predict_plan_error(small_curves(), plan_of({{32, 32}, {64, 32}})).weighted));
  CHECK_THROWS_AS(predict_plan_error(small_curves(), plan_of({{32, 32}})), InputError);

  ErrorCurves old = small_curves();  // as older files have it: means only
  old.kv_head_squared.clear();
  CHECK(predict_plan_error(old, plan_of({{32, 32}, {64, 32}})).local == Approx(std::sqrt(0.5)));
}

TEST_CASE("a sensitive layer's error counts for more", "[analysis]") {
  ErrorCurves curves = small_curves();
  curves.prompt_task = {0};
  curves.prompt_layer.assign(6, 0.1F);
  curves.kl_budgets = {32};
  curves.prompt_kl = {0.3F, 0.3F};  // sums of squares 1.5 and 0.5: sensitivities 1 : 3
  const double first = predict_plan_error(curves, plan_of({{32, 64}, {64, 64}})).weighted;
  const double second = predict_plan_error(curves, plan_of({{64, 64}, {64, 32}})).weighted;
  // 0.5 + 0 squared error in layer 0 more than in none, 0.25 in layer 1.
  const double none = predict_plan_error(curves, plan_of({{64, 64}, {64, 64}})).weighted;
  CHECK(first - none == Approx(0.5 * 0.25));
  CHECK(second - none == Approx(1.5 * 0.25));
}

TEST_CASE("figures that order plans alike correlate, and prompts say how surely", "[analysis]") {
  // Four plans, four prompts; b is a on another scale, c its opposite.
  std::vector<std::vector<double>> a, b, c;
  for (int plan = 0; plan < 4; ++plan) {
    a.push_back({});
    for (int prompt = 0; prompt < 4; ++prompt) a.back().push_back(plan + 0.1 * prompt);
    b.push_back({std::exp(plan)});
    c.push_back({-plan * 1.0});
  }
  const Correlation same = plan_correlation(a, b);
  CHECK(same.rho == Approx(1.0));
  CHECK(same.low == Approx(1.0));
  CHECK(plan_correlation(a, c).rho == Approx(-1.0));

  // Prompts that disagree: the interval says so.
  const Correlation unsure =
      plan_correlation({{0, 3, 0, 3}, {1, 2, 1, 2}, {2, 1, 2, 1}, {3.1, 0, 3.1, 0}}, b);
  CHECK(unsure.low < -0.5);
  CHECK(unsure.high > 0.5);
  CHECK(std::isnan(plan_correlation({{1}, {1}}, {{1}, {2}}).rho));
  CHECK_THROWS_AS(plan_correlation({{1, 2}, {1}}, {{1, 2, 3}, {1}}), std::invalid_argument);
  CHECK_THROWS_AS(plan_correlation({{1}}, {{1}, {2}}), std::invalid_argument);
}

}  // namespace
}  // namespace headscope::analysis
