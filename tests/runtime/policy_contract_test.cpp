// What holds for every policy of the registry, whatever its rule.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/runtime/policy_cases.h"

namespace headscope::runtime {
namespace {

using test::Kept;
using test::PolicyCase;
using test::Positions;
using test::random_policy_case;

constexpr int64_t kKeys = 90;
constexpr int64_t kBatch = 2;

// Tokens asked for in one sequence, each budget clamped to the prompt.
int64_t asked(const std::vector<int64_t>& budgets) {
  int64_t tokens = 0;
  for (const int64_t budget : budgets) tokens += std::min(budget, kKeys);
  return tokens;
}

int64_t kept_in(const std::vector<Positions>& rows, size_t b, size_t num_heads) {
  int64_t tokens = 0;
  for (size_t h = 0; h < num_heads; ++h)
    tokens += static_cast<int64_t>(rows[b * num_heads + h].size());
  return tokens;
}

void check_totals(const EvictionPolicy& policy, const PolicyCase& c, const Kept& kept) {
  const auto heads = static_cast<size_t>(c.num_kv_heads());
  for (size_t b = 0; b < kBatch; ++b) {
    int64_t total = 0;
    int64_t total_asked = 0;
    for (size_t layer = 0; layer < kept.size(); ++layer) {
      const int64_t of_layer = kept_in(kept[layer], b, heads);
      total += of_layer;
      total_asked += asked(c.budgets[layer]);
      if (policy.scope == BudgetScope::kLayer) CHECK(of_layer == asked(c.budgets[layer]));
      for (size_t h = 0; h < heads && policy.scope == BudgetScope::kKvHead; ++h) {
        const int64_t budget = c.budgets[layer][h];
        const bool stand_in = policy.compensates && budget > 0 && budget < kKeys;
        CHECK(static_cast<int64_t>(kept[layer][b * heads + h].size()) ==
              std::min(budget, kKeys) - (stand_in ? 1 : 0));
      }
    }
    if (policy.scope == BudgetScope::kModel) CHECK(total == total_asked);
  }
}

void check_rows(const Kept& kept) {
  for (const std::vector<Positions>& layer : kept) {
    for (const Positions& row : layer) {
      REQUIRE(std::is_sorted(row.begin(), row.end()));
      REQUIRE(std::set<int64_t>(row.begin(), row.end()).size() == row.size());
      REQUIRE((row.empty() || (row.front() >= 0 && row.back() < kKeys)));
    }
  }
}

TEST_CASE("every policy keeps exactly as many tokens as its scope says", "[runtime]") {
  for (const EvictionPolicy& policy : eviction_policies()) {
    if (!policy.evicts) continue;
    for (const int64_t budget : {0, 1, 2, 3, 7, 9, 15, 16, 17, 33, 64, 89, 90, 120}) {
      for (const int64_t num_sinks : {0, 4}) {
        INFO(policy.name << ", budget " << budget << ", sinks " << num_sinks << ", seed 611");
        PolicyCase c = random_policy_case(2, 2, 2, kBatch, kKeys, 611);
        c.selectors = {3, 0};
        c.selection = policy.defaults;
        c.selection.num_sink_tokens = num_sinks;
        c.budgets = {{budget, 12}, {20, budget}};
        const Kept kept = c.kept_by(policy);
        check_rows(kept);
        check_totals(policy, c, kept);
      }
    }
  }
}

TEST_CASE("sinks and the recent tokens stay in every head that can pay for them", "[runtime]") {
  for (const EvictionPolicy& policy : eviction_policies()) {
    if (!policy.evicts) continue;
    INFO(policy.name << ", seed 612");
    PolicyCase c = random_policy_case(3, 4, 2, 1, kKeys, 612);
    c.selectors = {1};
    c.selection = policy.defaults;
    c.selection.num_sink_tokens = 3;
    c.budgets.assign(3, {30, 30});
    for (const std::vector<Positions>& layer : c.kept_by(policy)) {
      for (const Positions& row : layer) {
        for (int64_t i = 1; i <= 8; ++i)
          CHECK(row[row.size() - static_cast<size_t>(i)] == kKeys - i);
        // Competing heads may end up with hardly more than the window.
        const size_t sinks =
            policy.scope == BudgetScope::kKvHead ? 3 : std::min<size_t>(3, row.size() - 8);
        for (size_t i = 0; i < sinks; ++i) CHECK(row[i] == static_cast<int64_t>(i));
      }
    }
  }
}

TEST_CASE("every policy names an allocator and has settings that a plan accepts", "[runtime]") {
  std::set<std::string> names;
  for (const EvictionPolicy& policy : eviction_policies()) {
    INFO(policy.name);
    CHECK(names.insert(std::string(policy.name)).second);
    CHECK_FALSE(policy.summary.empty());
    CHECK_FALSE(policy.allocator.empty());
    CHECK((policy.retain != nullptr) != (policy.retain_model != nullptr));
    CHECK((policy.scope == BudgetScope::kModel) == (policy.retain_model != nullptr));
    CHECK(policy.judges_by_window == (policy.defaults.observation_window > 0));
    CHECK(policy.judges_by_window == (policy.published.observation_window > 0));
    // One window and one pooling for all that have one.
    if (policy.judges_by_window) CHECK(policy.defaults == SelectionOptions{});
  }
}

}  // namespace
}  // namespace headscope::runtime
