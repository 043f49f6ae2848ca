#include "profiler/selector_arms.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <random>

#include "analysis/seeded_shuffle.h"
#include "outputs/input_error.h"
#include "outputs/method_quirks.h"

namespace headscope::profiler {
namespace {

constexpr const char* kAll = "all";
constexpr const char* kDrawn = "random";

int64_t number_of_heads(const std::string& text) {
  if (text == kAll) return kEveryHead;
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < 1) {
    throw InputError("--arm-heads", "numbers of at least 1, or all", "\"" + text + "\"");
  }
  return number;
}

bool wants_layer_budgets(const std::string& allocation) {
  if (allocation == "layer") return true;
  if (allocation == "uniform") return false;
  throw InputError("--arm-allocations", "layer or uniform", "\"" + allocation + "\"");
}

bool has_one_set(const std::string& sets) {
  return outputs::index_sets_from_name(sets, "--arm-sets") != IndexSets::kKvHead;
}

std::vector<std::vector<int64_t>> drawn_heads(const ModelShape& shape,
                                              int64_t count,
                                              uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<int64_t>> drawn;
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    std::vector<int64_t> heads(static_cast<size_t>(shape.num_query_heads));
    std::iota(heads.begin(), heads.end(), 0);
    analysis::seeded_shuffle(heads, random);
    heads.resize(static_cast<size_t>(count));
    drawn.push_back(std::move(heads));
  }
  return drawn;
}

}  // namespace

std::string SelectorArm::label() const {
  const std::string who =
      num_heads == kEveryHead ? "all-heads" : selector + "-" + std::to_string(num_heads);
  return who + (has_layer_budgets ? "" : "+uniform") + (has_layer_sets ? "" : "+kv-head-sets");
}

std::vector<SelectorArm> expand_arms(const std::vector<std::string>& selectors,
                                     const std::vector<std::string>& numbers,
                                     const std::vector<std::string>& allocations,
                                     const std::vector<std::string>& sets) {
  if (selectors.empty() && numbers.empty() && allocations.empty() && sets.empty()) return {};
  const auto or_else = [](const std::vector<std::string>& given, const char* own) {
    return given.empty() ? std::vector<std::string>{own} : given;
  };
  std::vector<SelectorArm> arms;
  for (const std::string& selector : or_else(selectors, "srh")) {
    for (const std::string& number : or_else(numbers, "4")) {
      for (const std::string& allocation : or_else(allocations, "layer")) {
        for (const std::string& shared : or_else(sets, "layer")) {
          const SelectorArm arm{selector, selector == kAll ? kEveryHead : number_of_heads(number),
                                wants_layer_budgets(allocation), has_one_set(shared)};
          const bool is_known =
              std::any_of(arms.begin(), arms.end(),
                          [&](const SelectorArm& known) { return known.label() == arm.label(); });
          if (!is_known) arms.push_back(arm);
        }
      }
    }
  }
  return arms;
}

BudgetPlan plan_for_arm(const SelectorArm& arm,
                        const HeadProfile& profile,
                        int64_t budget_tokens,
                        uint64_t seed,
                        MethodOptions options) {
  const ModelShape& shape = profile.model.shape;
  const bool is_score = arm.selector != kAll && arm.selector != kDrawn;
  const int64_t count = arm.num_heads == kEveryHead
                            ? shape.num_query_heads
                            : std::min(arm.num_heads, shape.num_query_heads);
  if (is_score) options.score = arm.selector;
  options.selector_heads = count;
  if (!arm.has_layer_sets) options.selection.index_sets = IndexSets::kKvHead;
  options.eviction = "compresskv";
  options.fallback = false;  // the arm says who chooses
  BudgetPlan plan = plan_from_profile(profile, arm.has_layer_budgets ? "compresskv" : "uniform",
                                      budget_tokens, options);
  if (!is_score) plan.selector_heads = drawn_heads(shape, count, seed);
  return plan;
}

}  // namespace headscope::profiler
