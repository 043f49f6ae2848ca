// What every allocator promises, over all that are registered.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numeric>

#include "analysis/allocation_bounds.h"
#include "analysis/curve_allocator.h"
#include "analysis/query_group.h"
#include "analysis/razor_allocator.h"
#include "outputs/input_error.h"
#include "tests/analysis/allocator_cases.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;
using testing::between;
using testing::flat;
using testing::random_input;

constexpr uint64_t kNumSeeds = 60;

// Runs `check` on random problems of every allocator, the largest models once.
void for_all(const std::function<void(const Allocator&, AllocatorInput, std::mt19937_64&)>& check) {
  for (const std::string& name : allocator_names()) {
    const auto allocator = make_allocator(name);
    for (uint64_t seed = 0; seed < kNumSeeds; ++seed) {
      INFO(name << ", seed " << seed);
      std::mt19937_64 random(seed);
      check(*allocator, random_input(random), random);
    }
    INFO(name << ", 80 layers of 64 query heads");
    std::mt19937_64 random(80);
    check(*allocator, random_input(random, 80, 8, 8), random);
  }
}

int64_t sum_of(const std::vector<int64_t>& budgets) {
  return std::accumulate(budgets.begin(), budgets.end(), int64_t{0});
}

std::vector<int64_t> plan_of(const Allocator& allocator, const AllocatorInput& input) {
  return flat(allocator.allocate(input).budget_tokens);
}

TEST_CASE("every allocator spends its budget to the token", "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64&) {
    const Allocation allocation = allocator.allocate(input);
    const std::vector<int64_t> budgets = flat(allocation.budget_tokens);
    REQUIRE(budgets.size() ==
            static_cast<size_t>(input.shape.num_layers * input.shape.num_kv_heads));
    CHECK(sum_of(budgets) == asked_tokens(input));
    CHECK(allocation.lint.nominal_tokens == asked_tokens(input));
    CHECK(allocation.lint.usable_tokens == asked_tokens(input));
    CHECK(allocation.selection.observation_window <= allocation.lint.smallest_budget);
    if (allocator.needs().context_length) return;
    input.context_length = 0;
    CHECK(sum_of(plan_of(allocator, input)) == asked_tokens(input));
  });
}

TEST_CASE("no head of any plan exceeds the context, and what it leaves goes to the others",
          "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    // From a context that binds hard to one that cannot hold the budget.
    input.context_length = input.budget_tokens + between(random, -20, 60);
    const auto heads = input.shape.num_layers * input.shape.num_kv_heads;
    const Allocation allocation = allocator.allocate(input);
    CHECK(allocation.lint.largest_budget <= input.context_length);
    CHECK(allocation.lint.nominal_tokens ==
          std::min(asked_tokens(input), heads * input.context_length));
    CHECK(allocation.lint.usable_tokens == allocation.lint.nominal_tokens);
    const bool is_cut = asked_tokens(input) > heads * input.context_length;
    const auto& notes = allocation.lint.notes;
    CHECK(is_cut == std::any_of(notes.begin(), notes.end(), [](const std::string& note) {
            return note.find("not spent: every KV head holds the whole context") !=
                   std::string::npos;
          }));
  });
}

TEST_CASE("the user's floor and ceiling hold in every plan, and all is spent", "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    input.min_tokens = between(random, 1, input.budget_tokens);
    input.max_tokens = input.budget_tokens + between(random, 1, 100);
    const Allocation allocation = allocator.allocate(input);
    CHECK(allocation.lint.smallest_budget >= *input.min_tokens);
    CHECK(allocation.lint.largest_budget <= *input.max_tokens);
    CHECK(allocation.lint.nominal_tokens == asked_tokens(input));
    input.min_tokens = input.budget_tokens + 1;
    CHECK_THROWS_WITH(allocator.allocate(input), Contains("--min-tokens"));
  });
}

TEST_CASE("every budget is whole pages, and less than a page is left", "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    input.page_tokens = between(random, 2, 64);
    const Allocation allocation = allocator.allocate(input);
    for (const int64_t budget : flat(allocation.budget_tokens)) {
      CHECK(budget % input.page_tokens == 0);
      CHECK(budget >= input.page_tokens);
    }
    const int64_t left = asked_tokens(input) - allocation.lint.nominal_tokens;
    CHECK(left == asked_tokens(input) % input.page_tokens);
    const auto& notes = allocation.lint.notes;
    const std::string stated = std::to_string(left) + " of ";
    CHECK((left > 0) == std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
            return note.rfind(stated, 0) == 0 && note.find("whole pages") != std::string::npos;
          }));
    input.page_tokens = input.budget_tokens + 1;
    if (input.extra_tokens == 0) {
      CHECK_THROWS_WITH(allocator.allocate(input), Contains("--page-size"));
    }
  });
}

TEST_CASE("ranks hold equal shares of every plan, in whole pages", "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    input.num_ranks = input.shape.num_kv_heads % 4 == 0 ? 4 : input.shape.num_kv_heads;
    input.page_tokens = between(random, 1, 16);
    const Allocation allocation = allocator.allocate(input);
    const auto width = input.shape.num_kv_heads / input.num_ranks;
    const int64_t share = asked_tokens(input) / input.page_tokens / input.num_ranks;
    for (int64_t rank = 0; rank < input.num_ranks; ++rank) {
      int64_t held = 0;
      for (const std::vector<int64_t>& layer : allocation.budget_tokens) {
        const auto first = layer.begin() + rank * width;
        held = std::accumulate(first, first + width, held);
      }
      CHECK(held == share * input.page_tokens);
    }
    input.num_ranks = input.shape.num_kv_heads + 1;
    CHECK_THROWS_WITH(allocator.allocate(input), Contains("--tp-ranks"));
  });
}

TEST_CASE("the same problem has the same plan, and a plan's own total gives the plan again",
          "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    CHECK(plan_of(allocator, input) == plan_of(allocator, input));
    input.page_tokens = between(random, 1, 16);
    const Allocation first = allocator.allocate(input);
    const auto heads = input.shape.num_layers * input.shape.num_kv_heads;
    input.budget_tokens = first.lint.nominal_tokens / heads;
    input.extra_tokens = first.lint.nominal_tokens % heads;
    CHECK(plan_of(allocator, input) == flat(first.budget_tokens));
  });
}

// Moves layers and, within them, KV heads with the query heads that read them.
struct Permutation {
  std::vector<int64_t> layers;
  std::vector<int64_t> kv_heads;

  [[nodiscard]] HeadMatrix apply(const HeadMatrix& matrix, int64_t group_size) const {
    HeadMatrix moved(matrix.num_layers, matrix.num_heads);
    for (int64_t layer = 0; layer < matrix.num_layers; ++layer) {
      for (int64_t head = 0; head < matrix.num_heads; ++head) {
        const int64_t from = kv_heads[static_cast<size_t>(head / group_size)] * group_size;
        moved.at(layer, head) =
            matrix.at(layers[static_cast<size_t>(layer)], from + head % group_size);
      }
    }
    return moved;
  }

  [[nodiscard]] AllocatorInput apply(const AllocatorInput& input) const {
    AllocatorInput moved = input;
    const int64_t group_size = input.shape.query_group_size();
    moved.head_scores = apply(input.head_scores, group_size);
    moved.induction = apply(input.induction, group_size);
    moved.echo = apply(input.echo, group_size);
    moved.gates = apply(input.gates, 1);
    const size_t points = input.curves.budgets.size();
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      moved.layer_error[layer] = input.layer_error[static_cast<size_t>(layers[layer])];
      for (size_t head = 0; head < kv_heads.size(); ++head) {
        const size_t to = (layer * kv_heads.size() + head) * points;
        const size_t from = (static_cast<size_t>(layers[layer]) * kv_heads.size() +
                             static_cast<size_t>(kv_heads[head])) *
                            points;
        std::copy_n(input.curves.error.begin() + static_cast<std::ptrdiff_t>(from), points,
                    moved.curves.error.begin() + static_cast<std::ptrdiff_t>(to));
      }
    }
    return moved;
  }

  [[nodiscard]] std::vector<int64_t> apply(const std::vector<std::vector<int64_t>>& budgets) const {
    std::vector<int64_t> moved;
    for (const int64_t layer : layers) {
      for (const int64_t head : kv_heads) {
        moved.push_back(budgets[static_cast<size_t>(layer)][static_cast<size_t>(head)]);
      }
    }
    return moved;
  }
};

TEST_CASE("permuting layers and heads permutes every plan, tokens that no rule places aside",
          "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    Permutation permutation;
    permutation.layers.resize(static_cast<size_t>(input.shape.num_layers));
    permutation.kv_heads.resize(static_cast<size_t>(input.shape.num_kv_heads));
    std::iota(permutation.layers.begin(), permutation.layers.end(), int64_t{0});
    std::iota(permutation.kv_heads.begin(), permutation.kv_heads.end(), int64_t{0});
    std::shuffle(permutation.kv_heads.begin(), permutation.kv_heads.end(), random);
    // A pyramid is about the layers' order.
    if (allocator.name() != "pyramid") {
      std::shuffle(permutation.layers.begin(), permutation.layers.end(), random);
    }
    // Full heads alike and streaming heads alike differ by the tokens that do not divide.
    const bool has_ties = allocator.kept_by() == KeptBy::kPosition ||
                          allocator.name() == "uniform" || allocator.name() == "pyramid";
    if (allocator.name() == "compresskv") input.extra_tokens = 0;
    const std::vector<int64_t> expected =
        permutation.apply(allocator.allocate(input).budget_tokens);
    const std::vector<int64_t> found = plan_of(allocator, permutation.apply(input));
    if (!has_ties) {
      CHECK(found == expected);
      return;
    }
    for (size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - expected[i]) <= 1);
    CHECK(sum_of(found) == sum_of(expected));
  });
}

// In order of `worth`, budgets do not fall.
void check_monotone(const std::vector<double>& worth, const std::vector<int64_t>& budgets) {
  std::vector<size_t> order(worth.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return worth[a] < worth[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    CHECK((worth[order[i]] == worth[order[i - 1]] || budgets[order[i]] >= budgets[order[i - 1]]));
  }
}

TEST_CASE("a head with a higher score or gate never gets less", "[analysis]") {
  for_all([](const Allocator& allocator, AllocatorInput input, std::mt19937_64& random) {
    input.page_tokens = between(random, 1, 8);
    std::vector<double> worth;
    if (allocator.name() == "headkv") {
      input.headkv.reduction = GroupReduction(random() % 3);
      worth =
          reduce_query_groups(input.head_scores, input.shape.num_kv_heads, input.headkv.reduction)
              .values;
    } else if (allocator.name() == "gates") {
      if (random() % 2 == 0) input.gates_options.threshold = 0.3;
      worth = input.gates.values;
    } else if (allocator.name() == "razor") {
      for (const bool keeps_all : razor_retrieval_heads(input)) worth.push_back(keeps_all ? 1 : 0);
    } else if (allocator.name() == "compresskv") {
      input.extra_tokens = 0;
      for (const double error : input.layer_error) {
        worth.insert(worth.end(), static_cast<size_t>(input.shape.num_kv_heads), error);
      }
      input.page_tokens = 1;
    } else {
      return;
    }
    check_monotone(worth, plan_of(allocator, input));
  });
}

TEST_CASE("a head whose error grows as a whole never gets less, nor any head of a larger budget",
          "[analysis]") {
  const CurveAllocator allocator;
  for (uint64_t seed = 0; seed < kNumSeeds; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    AllocatorInput input = random_input(random);
    const std::vector<int64_t> before = plan_of(allocator, input);
    AllocatorInput richer = input;
    richer.budget_tokens += 7;
    const std::vector<int64_t> more = plan_of(allocator, richer);
    for (size_t i = 0; i < before.size(); ++i) CHECK(more[i] >= before[i]);

    const size_t head = random() % before.size();
    const size_t points = input.curves.budgets.size();
    for (size_t i = 0; i < points; ++i) input.curves.error[head * points + i] *= 1.5;
    CHECK(plan_of(allocator, input)[head] >= before[head]);
  }
}

}  // namespace
}  // namespace headscope::analysis
