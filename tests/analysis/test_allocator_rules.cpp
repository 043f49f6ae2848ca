// Each allocator's own rule: cases worked by hand, published data. The curve allocator's:
// test_curve_allocator.cpp.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "analysis/curve_allocator.h"
#include "analysis/headkv_allocator.h"
#include "analysis/plan_lint.h"
#include "analysis/pyramid_allocator.h"
#include "analysis/razor_allocator.h"
#include "analysis/share_lines.h"
#include "outputs/input_error.h"
#include "outputs/interop/duo_pattern.h"
#include "outputs/interop/retrieval_scores.h"
#include "tests/analysis/allocator_cases.h"
#include "tests/support/shared_data.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;
using headscope::testing::shared_data;
using testing::flat;
using testing::input_of;

HeadMatrix matrix_of(int64_t layers, int64_t heads, std::vector<double> values) {
  HeadMatrix matrix(layers, heads);
  matrix.values = std::move(values);
  return matrix;
}

TEST_CASE("shares along lines: a case worked by hand, and what cannot be shared", "[analysis]") {
  // 1 + t, 2 t in 0..5, and a head that stands at 3: 1 + t + 2 t + 3 = 10 at t = 2.
  CHECK(share_along({{1, 1, 0, 9}, {0, 2, 0, 5}, {3, 0, 0, 9}}, 10) ==
        std::vector<int64_t>{3, 4, 3});
  // At t = 2.5 the second is full; the first takes the rest: 12 = x + 5 + 3.
  CHECK(share_along({{1, 1, 0, 9}, {0, 2, 0, 5}, {3, 0, 0, 9}}, 12) ==
        std::vector<int64_t>{4, 5, 3});
  // Both are full at 14 + 3; only then the third moves.
  CHECK(share_along({{1, 1, 0, 9}, {0, 2, 0, 5}, {3, 0, 0, 9}}, 20) ==
        std::vector<int64_t>{9, 5, 6});
  // Halves: the unit that is left goes to the steeper line.
  CHECK(share_along({{0.5, 1, 0, 9}, {-0.5, 3, 0, 9}}, 4) == std::vector<int64_t>{1, 3});
  CHECK_THROWS_AS(share_along({{0, 1, 2, 3}}, 1), std::invalid_argument);
  CHECK_THROWS_AS(share_along({{0, 1, 2, 3}}, 4), std::invalid_argument);
}

TEST_CASE("a pyramid has PyramidKV's steps, and is then made exact", "[analysis]") {
  // b = 120, min = 6, max = 234, step = 228 // 3 = 76.
  CHECK(pyramid_budgets(4, 128, 8, 0) == std::vector<int64_t>{242, 166, 90, 14});
  // Context 200: max = 192, min = 48, step = 48.
  CHECK(pyramid_budgets(4, 128, 8, 200) == std::vector<int64_t>{200, 152, 104, 56});
  CHECK(pyramid_budgets(1, 128, 8, 0) == std::vector<int64_t>{128});
  const auto allocator = make_allocator("pyramid");
  AllocatorInput input = input_of(4, 2, 3, 101);
  // b = 93, min = 4, max = 182, step = 178 // 3 = 59 -> 190, 131, 72, 13: 406, two above 404.
  // Every layer gives half a token per KV head: the first two layers keep what is rounded.
  CHECK(pyramid_budgets(4, 101, 8, 0) == std::vector<int64_t>{190, 131, 72, 13});
  CHECK(flat(allocator->allocate(input).budget_tokens) ==
        std::vector<int64_t>{190, 190, 131, 131, 71, 71, 12, 12});
}

TEST_CASE("pyramid budgets fall from layer to layer and keep PyramidKV's slope", "[analysis]") {
  const auto allocator = make_allocator("pyramid");
  for (uint64_t seed = 0; seed < 100; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const AllocatorInput input = testing::random_input(random);
    const auto budgets = allocator->allocate(input).budget_tokens;
    const auto published =
        pyramid_budgets(input.shape.num_layers, input.budget_tokens, 8, input.context_length);
    for (size_t layer = 1; layer < budgets.size(); ++layer) {
      CHECK(budgets[layer][0] <= budgets[layer - 1][0]);
      const int64_t step = published[layer - 1] - published[layer];
      CHECK(std::abs(budgets[layer - 1][0] - budgets[layer][0] - step) <= 1);
    }
  }
}

TEST_CASE("HeadKV budgets of a case worked by hand, redistributed or as published", "[analysis]") {
  AllocatorInput input = input_of(2, 2, 2, 108);
  input.headkv.beta = 2.0;
  // Groups sum to 1, 3, 4, 0: of b = 100 each head keeps 50 and 8, and 200 go 1 : 3 : 4 : 0.
  input.head_scores = matrix_of(2, 4, {1, 0, 2, 1, 0, 4, 0, 0});
  const auto allocator = make_allocator("headkv");
  CHECK(flat(allocator->allocate(input).budget_tokens) == std::vector<int64_t>{83, 133, 158, 58});
  // A context of 120 holds the second and third back; what they leave goes to the first (the only
  // other head with a score) until it is full, then to the last.
  input.context_length = 120;
  CHECK(flat(allocator->allocate(input).budget_tokens) == std::vector<int64_t>{120, 120, 120, 72});
  // As published the surplus is lost: 13 and 38 of 432 tokens.
  input.headkv.as_published = true;
  const Allocation lost = allocator->allocate(input);
  CHECK(flat(lost.budget_tokens) == std::vector<int64_t>{83, 133, 158, 58});
  CHECK(lost.lint.usable_tokens == 432 - 13 - 38);
  // The maxima of the groups are 1, 2, 4, 0.
  input.headkv = {.beta = 2.0, .reduction = GroupReduction::kMax};
  input.context_length = 0;
  CHECK(flat(allocator->allocate(input).budget_tokens) == std::vector<int64_t>{87, 115, 172, 58});
}

TEST_CASE("as published, HeadKV's rounding is the program's", "[analysis]") {
  // b = 120, 120 // 1.01 = 118: 2 tokens for everyone, 118 * 3 shared 0.5 : 0.25 : 0.25 = 177, 88.5
  // (to even: 88 + 2 = 90; 90.5 rounds to 90), window 8.
  CHECK(headkv_published_budgets({2, 1, 1}, 128, 8, 1.01) == std::vector<int64_t>{187, 98, 98});
}

// The usable share of the scored budgets, the window's tokens set aside, in per cent.
double usable_share(const PlanLint& lint, size_t context, int64_t num_heads, int64_t window) {
  const auto kept = static_cast<double>(lint.contexts[context].usable_tokens - num_heads * window);
  return 100.0 * kept / static_cast<double>(lint.nominal_tokens - num_heads * window);
}

PlanLint published_lint(const std::string& file, int64_t budget, double beta) {
  const auto path = shared_data("head_scores/HeadKV/Meta-Llama-3-8B-Instruct_" + file);
  if (!path) return {};
  // The program repeats keys and values per query head, so each of them is a KV head of its cache.
  AllocatorInput input = input_of(32, 32, 1, budget);
  input.head_scores = outputs::read_retrieval_scores(*path).mean;
  input.headkv = {.beta = beta, .as_published = true};
  input.lint_contexts = {2048, 8192, 32768};
  return make_allocator("headkv")->allocate(input).lint;
}

TEST_CASE("the lint finds what HeadKV's published budgets waste on its published scores",
          "[analysis]") {
  struct Row {
    const char* file;
    double beta;
    double at_2k, at_8k, at_32k;
  };
  for (const Row& row : {Row{"retrieval_heads.json", 1.01, 34.3, 67.8, 98.1},
                         Row{"retrieval_heads.json", 1.5, 59.1, 83.7, 99.7},
                         Row{"retrieval_reasoning_heads.json", 1.01, 57.2, 96.5, 100.0}}) {
    INFO(row.file << ", beta " << row.beta);
    const PlanLint lint = published_lint(row.file, 1024, row.beta);
    if (lint.contexts.empty()) return;
    CHECK(usable_share(lint, 0, 1024, 8) == Approx(row.at_2k).margin(0.06));
    CHECK(usable_share(lint, 1, 1024, 8) == Approx(row.at_8k).margin(0.06));
    CHECK(usable_share(lint, 2, 1024, 8) == Approx(row.at_32k).margin(0.06));
  }
  CHECK(published_lint("retrieval_heads.json", 1024, 1.01).largest_budget == 52435 + 8);
  CHECK(published_lint("retrieval_heads.json", 128, 1.01).smallest_budget == 2 + 8);
}

TEST_CASE("redistributed, HeadKV's budgets on the same scores are all usable", "[analysis]") {
  const auto path = shared_data("head_scores/HeadKV/Meta-Llama-3-8B-Instruct_retrieval_heads.json");
  if (!path) return;
  AllocatorInput input = input_of(32, 8, 4, 1024);
  input.head_scores = outputs::read_retrieval_scores(*path).mean;
  input.headkv.beta = 1.01;
  input.context_length = 2048;
  const Allocation allocation = make_allocator("headkv")->allocate(input);
  CHECK(allocation.lint.nominal_tokens == 1024 * 256);
  CHECK(allocation.lint.usable_tokens == 1024 * 256);
}

TEST_CASE("razor: heads that copy keep everything, the others share the rest", "[analysis]") {
  AllocatorInput input = input_of(2, 5, 2, 40);
  input.context_length = 100;
  input.selection = {.observation_window = 0, .num_sink_tokens = 4};
  input.induction = HeadMatrix(2, 10, 0.1);
  input.echo = HeadMatrix(2, 10, 0.1);
  input.induction.at(1, 7) = 0.9;  // KV head 3: the top 1.4 of 10, rounded to 1
  input.echo.at(0, 1) = 0.9;       // KV head 0: the top 0.1, but one at least
  const Allocation allocation = make_allocator("razor")->allocate(input);
  // 400 - 200 = 200 for eight heads.
  CHECK(allocation.budget_tokens ==
        std::vector<std::vector<int64_t>>{{100, 25, 25, 25, 25}, {25, 25, 25, 100, 25}});
  CHECK_THAT(allocation.lint.notes.at(0), Contains("2 of 10 KV heads keep all of 100 tokens"));
  CHECK_THAT(allocation.lint.notes.at(1), Contains("keep 1000 tokens, this plan 400"));
  // 24 tokens a head cannot pay for two full heads: 240 - 8 * 8 = 176.
  input.budget_tokens = 24;
  CHECK(make_allocator("razor")->allocate(input).budget_tokens[0] ==
        std::vector<int64_t>{88, 8, 8, 8, 8});
  input.induction = {};
  CHECK_THROWS_WITH(make_allocator("razor")->allocate(input), Contains("induction"));
  input.context_length = 0;
  CHECK_THROWS_WITH(make_allocator("razor")->allocate(input), Contains("--context-length"));
}

TEST_CASE("gates: as many full heads as the budget pays for, or those above a threshold",
          "[analysis]") {
  AllocatorInput input = input_of(2, 3, 1, 40);
  input.context_length = 100;
  input.selection = {.observation_window = 0, .num_sink_tokens = 2};
  input.gates_options.num_recent_tokens = 8;
  input.gates = matrix_of(2, 3, {0.2, 1.5, 0.7, -0.1, 0.9, 0.7});
  const auto allocator = make_allocator("gates");
  // 240 - 6 * 10 = 180 pays for two heads that need 90 more each: gates 1 and 0.9.
  CHECK(allocator->allocate(input).budget_tokens ==
        std::vector<std::vector<int64_t>>{{10, 100, 10}, {10, 100, 10}});
  // 17 more tokens lengthen the recent windows; the odd one goes to the highest gate left.
  input.extra_tokens = 5;
  input.budget_tokens = 42;
  CHECK(allocator->allocate(input).budget_tokens ==
        std::vector<std::vector<int64_t>>{{14, 100, 15}, {14, 100, 14}});
  // With a third of them full, the tie at 0.7 goes by index.
  input.budget_tokens = 56;
  CHECK(allocator->allocate(input).budget_tokens[0][2] == 100);
  CHECK(allocator->allocate(input).budget_tokens[1][2] < 100);
  input.gates_options.threshold = 0.95;
  CHECK(allocator->allocate(input).budget_tokens[1][1] < 100);
  CHECK(allocator->allocate(input).budget_tokens[0][1] == 100);
  CHECK(allocator->allocate(input).lint.nominal_tokens == 56 * 6 + 5);
  input.gates = matrix_of(3, 2, {1, 1, 1, 1, 1, 1});
  CHECK_THROWS_WITH(allocator->allocate(input), Contains("another model"));
}

TEST_CASE("DuoAttention's published gates give half of Llama 3.1's heads the whole context",
          "[analysis]") {
  const auto path = shared_data("head_scores/DuoAttention/Meta-Llama-3.1-8B-Instruct");
  if (!path) return;
  const outputs::DuoPattern pattern = outputs::read_duo_pattern(*path);
  CHECK(pattern.sink_size == 128);
  CHECK(pattern.recent_size == 256);
  AllocatorInput input = input_of(32, 8, 4, 1);
  input.gates = pattern.gates;
  input.selection = {.observation_window = 0, .num_sink_tokens = *pattern.sink_size};
  input.gates_options.num_recent_tokens = *pattern.recent_size;
  input.context_length = 32768;
  input.budget_tokens = (32768 + 384) / 2;
  const Allocation allocation = make_allocator("gates")->allocate(input);
  const std::vector<int64_t> budgets = flat(allocation.budget_tokens);
  CHECK(std::count(budgets.begin(), budgets.end(), 32768) == 128);
  CHECK(std::count(budgets.begin(), budgets.end(), 384) == 128);
  CHECK(allocation.lint.nominal_tokens == 256 * input.budget_tokens);
}

TEST_CASE("scores and curves that mean nothing are refused by name", "[analysis]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  AllocatorInput input = input_of(2, 2, 2, 64);
  const auto headkv = make_allocator("headkv");
  CHECK_THROWS_WITH(headkv->allocate(input), Contains("head scores"));
  input.head_scores = HeadMatrix(2, 4, 0.0);
  CHECK_THROWS_WITH(headkv->allocate(input), Contains("above 0"));
  input.head_scores.at(1, 2) = -1.0;
  CHECK_THROWS_WITH(headkv->allocate(input), Contains("layer 1, head 2"));
  input.head_scores.at(1, 2) = 1.0;
  input.headkv.beta = 0.5;
  CHECK_THROWS_WITH(headkv->allocate(input), Contains("--beta"));
  input.headkv = {.beta = 1.5, .as_published = true};
  input.page_tokens = 4;
  CHECK_THROWS_WITH(headkv->allocate(input), Contains("--as-published"));
  input.page_tokens = 1;
  const CurveAllocator curve;
  CHECK_THROWS_WITH(curve.allocate(input), Contains("calibrate"));
  input.curves = {.budgets = {8, 64}, .error = std::vector<double>(8, 0.5)};
  input.curves.error[5] = nan;
  CHECK_THROWS_WITH(curve.allocate(input), Contains("layer 1, KV head 0"));
  input.curves.error = std::vector<double>(7, 0.5);
  CHECK_THROWS_WITH(curve.allocate(input), Contains("8 numbers"));
  input.curves.error = std::vector<double>(8, 0.0);
  CHECK_THROWS_WITH(curve.allocate(input), Contains("zero everywhere"));
  input.curves.error = std::vector<double>(8, 0.5);
  input.layer_weights = {1.0, 0.0};
  CHECK_THROWS_WITH(curve.allocate(input), Contains("layer weights"));
}

}  // namespace
}  // namespace headscope::analysis
