#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "outputs/input_error.h"
#include "profiler/answer_trajectory.h"
#include "profiler/plan_check.h"
#include "profiler/tasks/task_registry.h"
#include "runtime/compressor.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::TaskSample;

std::vector<TaskSample> prompts(const PlantedSetup& planted, int64_t count = 2) {
  return profiler::build_task_samples(
      {.task = "needle", .count = count, .context_length = 320, .seed = 5}, planted.writer());
}

BudgetPlan snapkv(const PlantedSetup& planted, int64_t budget) {
  BudgetPlan plan = runtime::uniform_plan("snapkv", planted.identity.shape, budget);
  plan.model = planted.identity;
  return plan;
}

}  // namespace

TEST_CASE("KL divergence is that of the formula, and never below zero", "[profiler]") {
  const at::Tensor p = at::tensor({0.5, 0.25, 0.25}, at::kDouble).log().unsqueeze(0);
  const at::Tensor q = at::tensor({0.25, 0.5, 0.25}, at::kDouble).log().unsqueeze(0);
  // 0.5 ln 2 + 0.25 ln 0.5; logits may be shifted by any constant.
  const double expected = 0.25 * std::log(2.0);
  CHECK(profiler::kl_divergence(p + 7.0, q - 3.0).item<double>() == Approx(expected));
  CHECK(profiler::kl_divergence(p, p + 1.0).item<double>() == Approx(0.0).margin(1e-15));
  CHECK(profiler::kl_divergence(p, p + 1.0).item<double>() >= 0.0);
}

TEST_CASE("a plan that evicts nothing diverges by exactly nothing", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<BudgetPlan> plans{snapkv(planted, 4096), snapkv(planted, 64),
                                      snapkv(planted, 8)};
  profiler::SilentProgress silent;
  const auto checked = profiler::check_plans(planted.model(), prompts(planted), plans, {}, silent);
  REQUIRE(checked.size() == 2);
  for (const profiler::CheckedPrompt& prompt : checked) {
    CHECK(prompt.task == "needle");
    CHECK(prompt.num_tokens >= 1);
    REQUIRE(prompt.plans.size() == 3);
    CHECK(prompt.plans[0].kl == 0.0);
    CHECK(prompt.plans[0].score == prompt.full_score);
    CHECK(prompt.plans[2].kl > 0.0);
    CHECK(prompt.plans[2].kl > prompt.plans[1].kl);
    CHECK(prompt.plans[1].kv_bytes < prompt.full_kv_bytes);
    CHECK(prompt.plans[2].kv_bytes < prompt.plans[1].kv_bytes);
  }
}

TEST_CASE("divergence is that of feeding the answer to both caches by hand", "[profiler]") {
  const PlantedSetup planted;
  const auto model = planted.model();
  const TaskSample sample = prompts(planted, 1)[0];
  profiler::AnswerTrajectory trajectory(model, sample, {.max_answer_tokens = 5});
  const std::vector<int64_t> tokens = trajectory.tokens();
  REQUIRE(tokens.size() >= 2);
  const BudgetPlan plan = snapkv(planted, 32);
  const auto compressed = trajectory.compressed(plan);
  const double got = trajectory.divergence(*compressed);

  // Token by token, through caches of their own.
  runtime::FullKvCache full(planted.identity.shape.num_layers, {.window_tokens = 8});
  static_cast<void>(model.decoder.prefill(sample.prompt, full));
  const auto evicted = runtime::compress(full, plan);
  double sum = 0.0;
  for (const int64_t token : tokens) {
    const at::Tensor input = at::full({1, 1}, token, at::kLong);
    const at::Tensor p = model.decoder.forward(input, full)[0][0].to(at::kDouble).softmax(0);
    const at::Tensor q = model.decoder.forward(input, *evicted)[0][0].to(at::kDouble).softmax(0);
    sum += (p * (p / q).log()).sum().item<double>();
  }
  CHECK(got == Approx(sum / static_cast<double>(tokens.size())).epsilon(1e-3).margin(1e-7));
  // The caches are as they were: the same again.
  CHECK(trajectory.divergence(*compressed) == got);
  CHECK(trajectory.divergence(*trajectory.compressed(plan)) == got);
}

TEST_CASE("check_plans refuses what it cannot run, and stops when asked", "[profiler]") {
  const PlantedSetup planted;
  profiler::SilentProgress silent;
  CHECK_THROWS_AS(profiler::check_plans(planted.model(), {}, {}, {}, silent), InputError);
  CHECK_THROWS_AS(profiler::check_plans(planted.model(), prompts(planted), {},
                                        {.max_answer_tokens = 0}, silent),
                  InputError);
  StopAfter stop(1);
  CHECK(profiler::check_plans(planted.model(), prompts(planted), {snapkv(planted, 16)}, {}, stop)
            .size() == 1);
}

}  // namespace headscope::testing
