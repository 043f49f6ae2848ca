#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "analysis/allocator.h"
#include "analysis/budget_request.h"
#include "analysis/compresskv_allocator.h"
#include "outputs/input_error.h"
#include "outputs/interop/layer_score.h"
#include "tests/support/shared_data.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;

ModelShape shape_of(int64_t layers, int64_t kv_heads) {
  ModelShape shape;
  shape.num_layers = layers;
  shape.num_query_heads = 3 * kv_heads;
  shape.num_kv_heads = kv_heads;
  shape.head_dim = 64;
  return shape;
}

AllocatorInput input_of(std::vector<double> errors, int64_t budget, int64_t kv_heads = 3) {
  AllocatorInput input;
  input.shape = shape_of(static_cast<int64_t>(errors.size()), kv_heads);
  input.budget_tokens = budget;
  input.layer_error = std::move(errors);
  return input;
}

std::vector<int64_t> layers_of(const Allocation& allocation) {
  std::vector<int64_t> layers;
  for (const auto& kv_heads : allocation.budget_tokens) {
    CHECK(std::all_of(kv_heads.begin(), kv_heads.end(),
                      [&](int64_t budget) { return budget == kv_heads[0]; }));
    layers.push_back(kv_heads[0]);
  }
  return layers;
}

// Distinct errors, spread over two orders of magnitude.
std::vector<double> random_errors(std::mt19937_64& random, size_t count) {
  std::vector<double> errors(count);
  for (double& error : errors) {
    const double uniform = static_cast<double>(random() >> 11) * 0x1.0p-53;
    error = std::exp(4.6 * uniform);
  }
  return errors;
}

// CompressKV's rule once more, as literally as can be: one token at a time, the next layer always
// looked for by scanning all of them.
std::vector<int64_t> restated(const std::vector<double>& errors, int64_t budget) {
  const auto layers = static_cast<int64_t>(errors.size());
  const int64_t m = 32;
  const int64_t most = 3 * budget;
  const double sum = std::accumulate(errors.begin(), errors.end(), 0.0);
  std::vector<int64_t> budgets;
  for (const double error : errors) {
    const double exact = error / sum * static_cast<double>(layers * budget - layers * m);
    const double whole = std::floor(exact);
    int64_t rounded = static_cast<int64_t>(whole);
    if (exact - whole > 0.5 || (exact - whole == 0.5 && rounded % 2 == 1)) {
      rounded += 1;
    }
    budgets.push_back(std::min(std::max(m + rounded, m), most));
  }
  int64_t delta = layers * budget - std::accumulate(budgets.begin(), budgets.end(), int64_t{0});
  while (delta != 0) {
    std::vector<bool> served(errors.size(), false);
    for (;;) {
      size_t next = errors.size();
      for (size_t layer = 0; layer < errors.size(); ++layer) {
        const bool is_candidate = delta > 0 ? budgets[layer] < most : budgets[layer] > m;
        const bool is_better = next == errors.size() || (delta > 0 ? errors[layer] > errors[next]
                                                                   : errors[layer] < errors[next]);
        if (!served[layer] && is_candidate && is_better) {
          next = layer;
        }
      }
      if (delta == 0 || next == errors.size()) {
        break;
      }
      served[next] = true;
      budgets[next] += delta > 0 ? 1 : -1;
      delta += delta > 0 ? -1 : 1;
    }
  }
  return budgets;
}

TEST_CASE("published layer errors give the budgets that the published code gives", "[analysis]") {
  const auto path =
      testing::shared_data("head_scores/CompressKV/Llama-3.1-8B-Instruct_layer_score.jsonl");
  if (!path) {
    return;
  }
  const std::vector<double> errors = outputs::read_layer_score(*path).average;
  const std::vector<int64_t> expected{164, 168, 292, 234, 233, 296, 219, 252, 350, 338, 346,
                                      315, 162, 340, 300, 302, 249, 286, 280, 292, 333, 213,
                                      280, 301, 276, 239, 235, 261, 191, 163, 199, 83};
  const auto allocation = make_allocator("compresskv")->allocate(input_of(errors, 256, 8));
  CHECK(layers_of(allocation) == expected);
  CHECK(allocation.lint.nominal_tokens == 256 * 32 * 8);

  const auto mistral =
      testing::shared_data("head_scores/CompressKV/Mistral-7B-Instruct-v0.3_layer_score.jsonl");
  if (!mistral) {
    return;
  }
  const auto other = make_allocator("compresskv")
                         ->allocate(input_of(outputs::read_layer_score(*mistral).average, 256, 8));
  CHECK(other.lint.nominal_tokens == 256 * 32 * 8);
  CHECK(other.lint.smallest_budget == 126);
  CHECK(other.lint.largest_budget == 358);
}

TEST_CASE("layer budgets of a case worked by hand", "[analysis]") {
  // m = 32, so 4 * (40 - 32) = 32 tokens are shared out: 1.6, 3.2, 6.4 and 20.8 of them, rounded
  // 2, 3, 6, 21. Nothing is left over.
  CHECK(error_proportional_budgets({1, 2, 4, 13}, 4 * 40, 32, 120) ==
        std::vector<int64_t>{34, 35, 38, 53});
  // Half to even: 0.5 -> 0, 0.5 -> 0, 1.0, 2.0: the token left over goes to the largest error.
  CHECK(error_proportional_budgets({1, 1, 2, 4}, 4 * 2, 1, 6) == std::vector<int64_t>{1, 1, 2, 4});
  // 1 + (0.36, 0.72, 1.08, 33.84) -> 1, 2, 2 and the ceiling of 12. Of the 23 tokens left, seven
  // sweeps give each of the others 7, and the last 2 go to the larger errors.
  CHECK(error_proportional_budgets({1, 2, 3, 94}, 4 * 10, 1, 12) ==
        std::vector<int64_t>{8, 10, 10, 12});
}

TEST_CASE("the allocator agrees with its rule restated token by token", "[analysis]") {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const std::vector<double> errors = random_errors(random, 1 + random() % 40);
    const auto budget = static_cast<int64_t>(32 + random() % 500);
    CHECK(layers_of(make_allocator("compresskv")->allocate(input_of(errors, budget))) ==
          restated(errors, budget));
  }
}

TEST_CASE("budgets are spent exactly, within floor and ceiling, in the order of the errors",
          "[analysis]") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const std::vector<double> errors = random_errors(random, 2 + random() % 30);
    const auto budget = static_cast<int64_t>(1 + random() % 300);
    const Allocation allocation = make_allocator("compresskv")->allocate(input_of(errors, budget));
    const std::vector<int64_t> layers = layers_of(allocation);
    CHECK(std::accumulate(layers.begin(), layers.end(), int64_t{0}) ==
          budget * static_cast<int64_t>(errors.size()));
    const int64_t floor = budget >= 32 ? 32 : std::max<int64_t>(1, budget / 2);
    CHECK(allocation.lint.smallest_budget >= floor);
    CHECK(allocation.lint.largest_budget <= 3 * budget);
    CHECK(allocation.below_floor == (budget < 32));
    CHECK(allocation.selection.observation_window <= allocation.lint.smallest_budget);
    CHECK(allocation.selection.observation_window >= 1);
    for (size_t a = 0; a < errors.size(); ++a) {
      for (size_t b = 0; b < errors.size(); ++b) {
        CHECK((errors[a] <= errors[b] || layers[a] >= layers[b]));
      }
    }
  }
}

TEST_CASE("permuting the layers permutes the plan", "[analysis]") {
  const uint64_t seed = 21;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const std::vector<double> errors = random_errors(random, 24);
  std::vector<double> reversed(errors.rbegin(), errors.rend());
  const auto allocator = make_allocator("compresskv");
  for (const int64_t budget : {16, 33, 64, 257}) {
    std::vector<int64_t> layers = layers_of(allocator->allocate(input_of(errors, budget)));
    std::reverse(layers.begin(), layers.end());
    CHECK(layers == layers_of(allocator->allocate(input_of(reversed, budget))));
  }
}

TEST_CASE("below the floor of 32 the floor is half the budget and the lint says so", "[analysis]") {
  const Allocation allocation =
      make_allocator("compresskv")->allocate(input_of({0.0, 0.0, 0.0, 1.0}, 10));
  CHECK(layers_of(allocation) == std::vector<int64_t>{5, 5, 5, 25});
  CHECK(allocation.below_floor);
  CHECK(allocation.selection.observation_window == 5);
  REQUIRE(allocation.lint.notes.size() == 2);
  CHECK_THAT(allocation.lint.notes[0], Contains("floor of 32") && Contains("lowered to 5"));
  CHECK_THAT(allocation.lint.notes[1], Contains("from 8 tokens to 5 tokens"));
}

TEST_CASE("a uniform plan is uniform, and a tiny one halves its window", "[analysis]") {
  AllocatorInput input = input_of({}, 64);
  input.shape = shape_of(5, 2);
  const auto allocator = make_allocator("uniform");
  const Allocation allocation = allocator->allocate(input);
  CHECK(layers_of(allocation) == std::vector<int64_t>(5, 64));
  CHECK(allocation.selection.observation_window == 8);
  CHECK(allocation.lint.notes.empty());
  input.budget_tokens = 6;
  const Allocation tiny = allocator->allocate(input);
  CHECK(tiny.below_floor);
  CHECK(tiny.selection.observation_window == 3);
  CHECK(tiny.lint.notes.size() == 2);
}

TEST_CASE("a method without an observation window gets a plan, a negative window does not",
          "[analysis]") {
  AllocatorInput input = input_of({}, 64);
  input.shape = shape_of(5, 2);
  input.selection.observation_window = 0;
  const Allocation allocation = make_allocator("uniform")->allocate(input);
  CHECK(layers_of(allocation) == std::vector<int64_t>(5, 64));
  CHECK(allocation.selection.observation_window == 0);
  input.selection.observation_window = -1;
  CHECK_THROWS_AS(make_allocator("uniform")->allocate(input), InputError);
}

TEST_CASE("the lint counts what a context cannot use, and planning for it leaves no waste",
          "[analysis]") {
  AllocatorInput input = input_of({1, 1, 1, 5}, 100, 2);
  input.shape.head_dim = 64;
  input.bytes_per_element = 2;
  input.lint_contexts = {120, 4096};
  const auto allocator = make_allocator("compresskv");
  const Allocation free = allocator->allocate(input);
  // 32 + 272 * (1/8, 1/8, 1/8, 5/8) = 66, 66, 66, 202; the last is 82 above 120 tokens.
  CHECK(layers_of(free) == std::vector<int64_t>{66, 66, 66, 202});
  CHECK(free.lint.nominal_tokens == 800);
  CHECK(free.lint.bytes_per_token == 2 * 64 * 2);
  REQUIRE(free.lint.contexts.size() == 2);
  CHECK(free.lint.contexts[0] == ContextUse{120, 800 - 2 * 82, 2});
  CHECK(free.lint.contexts[1] == ContextUse{4096, 800, 0});
  CHECK(free.lint.largest_head == KvHeadId{3, 0});
  CHECK_THAT(free.lint.notes.at(0), Contains("2 of 8 KV heads") && Contains("164 of 800"));

  input.context_length = 120;
  input.lint_contexts.clear();
  const Allocation clamped = allocator->allocate(input);
  // The 82 tokens go round the other three layers: 27 sweeps, and one more for the first.
  CHECK(layers_of(clamped) == std::vector<int64_t>{94, 93, 93, 120});
  CHECK(clamped.lint.usable_tokens == 800);
  CHECK(clamped.lint.notes.empty());
}

TEST_CASE("the user's own floor and ceiling hold", "[analysis]") {
  AllocatorInput input = input_of({1, 1, 1, 97}, 100);
  input.min_tokens = 50;
  input.max_tokens = 150;
  const std::vector<int64_t> layers = layers_of(make_allocator("compresskv")->allocate(input));
  CHECK(std::accumulate(layers.begin(), layers.end(), int64_t{0}) == 400);
  CHECK(*std::min_element(layers.begin(), layers.end()) >= 50);
  CHECK(*std::max_element(layers.begin(), layers.end()) == 150);
  input.min_tokens = 101;
  CHECK_THROWS_WITH(make_allocator("compresskv")->allocate(input), Contains("--min-tokens"));
  input.min_tokens = 50;
  input.max_tokens = 99;
  CHECK_THROWS_WITH(make_allocator("compresskv")->allocate(input), Contains("--max-tokens"));
}

TEST_CASE("nonsense is refused in words", "[analysis]") {
  const auto allocator = make_allocator("compresskv");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(allocator->allocate(input_of({1, 2}, 0)), Contains("at least 1 token"));
  CHECK_THROWS_WITH(allocator->allocate(input_of({1, nan}, 64)), Contains("layer 1"));
  CHECK_THROWS_WITH(allocator->allocate(input_of({1, -2}, 64)), Contains("layer 1"));
  CHECK_THROWS_WITH(allocator->allocate(input_of({0, 0}, 64)), Contains("zero in all"));
  AllocatorInput missing = input_of({}, 64);
  missing.shape = shape_of(4, 2);
  CHECK_THROWS_WITH(allocator->allocate(missing), Contains("calibrate"));
  missing.layer_error = {1, 2, 3};
  CHECK_THROWS_WITH(allocator->allocate(missing), Contains("one per layer"));
  CHECK_THROWS_WITH(make_allocator("best"),
                    Contains("uniform, pyramid, compresskv") && Contains("best"));
}

TEST_CASE("a budget is asked for in tokens, in bytes or as a kept share, and spent to the token",
          "[analysis]") {
  const ModelShape shape = shape_of(30, 3);  // 2 * 30 * 3 * 64 * 4 = 46080 bytes a token
  BudgetRequest request;
  request.tokens = 77;
  CHECK(resolve_budget(request, shape) == TokenBudget{77, 0});
  request = {};
  request.bytes = 46080 * 10 + 46079;  // a token of one KV head is 512 bytes
  CHECK(resolve_budget(request, shape) == TokenBudget{10, 89});
  request.bytes_per_element = 2;
  CHECK(resolve_budget(request, shape) == TokenBudget{21, 89});
  request = {};
  request.retention = 0.3;
  request.context_length = 10;
  CHECK(resolve_budget(request, shape) == TokenBudget{3, 0});
  request.retention = 0.35;
  CHECK(resolve_budget(request, shape) == TokenBudget{3, 45});
  request.retention = 1.0;
  CHECK(resolve_budget(request, shape) == TokenBudget{10, 0});
  request.retention = 0.01;
  CHECK(resolve_budget(request, shape) == TokenBudget{1, 0});
}

TEST_CASE("a budget that means nothing is refused", "[analysis]") {
  const ModelShape shape = shape_of(30, 3);
  BudgetRequest request;
  CHECK_THROWS_WITH(resolve_budget(request, shape), Contains("exactly one"));
  request.tokens = 0;
  CHECK_THROWS_AS(resolve_budget(request, shape), InputError);
  request.bytes = 1 << 20;
  CHECK_THROWS_WITH(resolve_budget(request, shape), Contains("exactly one"));
  request = {};
  request.bytes = 46079;
  CHECK_THROWS_WITH(resolve_budget(request, shape), Contains("46080"));
  request = {};
  request.context_length = 100;
  for (const double share : {0.0, -0.5, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    request.retention = share;
    CHECK_THROWS_WITH(resolve_budget(request, shape), Contains("--retention"));
  }
  request.retention = 0.5;
  request.context_length = 0;
  CHECK_THROWS_WITH(resolve_budget(request, shape), Contains("--context-length"));
}

}  // namespace
}  // namespace headscope::analysis
