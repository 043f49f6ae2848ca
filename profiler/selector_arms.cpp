#include "profiler/selector_arms.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <random>
#include <utility>

#include "analysis/seeded_shuffle.h"
#include "outputs/input_error.h"
#include "outputs/method_quirks.h"

namespace headscope::profiler {
namespace {

constexpr const char* kAll = "all";
constexpr const char* kDrawn = "random";
constexpr const char* kByLayer = "layer";

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

std::string checked_allocation(const std::string& name) {
  if (name == kByLayer || name == "uniform" || name == "curve") return name;
  throw InputError("--arm-allocations", "layer, uniform or curve", "\"" + name + "\"");
}

int64_t checked_kernel(int64_t kernel) {
  if (kernel >= 1 && kernel % 2 == 1) return kernel;
  throw InputError("--arm-pooling-kernels", "odd numbers of at least 1", std::to_string(kernel));
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

// Every arm with every value, in this order; as they are where there is none.
template <typename Value, typename Set>
void vary(std::vector<SelectorArm>& arms, const std::vector<Value>& values, const Set& set) {
  if (values.empty()) return;
  std::vector<SelectorArm> varied;
  for (const SelectorArm& arm : arms) {
    for (const Value& value : values) {
      varied.push_back(arm);
      set(varied.back(), value);
    }
  }
  arms = std::move(varied);
}

}  // namespace

std::string SelectorArm::label() const {
  std::string text =
      num_heads == kEveryHead ? "all-heads" : selector + "-" + std::to_string(num_heads);
  if (allocation != kByLayer) text += "+" + allocation;
  if (!has_layer_sets) text += "+kv-head-sets";
  if (pooling_kernel != kOwnPooling) text += "+pool-" + std::to_string(pooling_kernel);
  return text;
}

std::vector<SelectorArm> expand_arms(const ArmChoices& choices) {
  const ArmChoices& c = choices;
  if (c.selectors.empty() && c.numbers.empty() && c.allocations.empty() && c.sets.empty() &&
      c.pooling_kernels.empty()) {
    return {};
  }
  std::vector<SelectorArm> arms{SelectorArm{}};
  vary(arms, c.selectors, [](SelectorArm& arm, const std::string& name) { arm.selector = name; });
  vary(arms, c.numbers,
       [](SelectorArm& arm, const std::string& text) { arm.num_heads = number_of_heads(text); });
  vary(arms, c.allocations, [](SelectorArm& arm, const std::string& name) {
    arm.allocation = checked_allocation(name);
  });
  vary(arms, c.sets,
       [](SelectorArm& arm, const std::string& name) { arm.has_layer_sets = has_one_set(name); });
  vary(arms, c.pooling_kernels,
       [](SelectorArm& arm, int64_t kernel) { arm.pooling_kernel = checked_kernel(kernel); });
  std::vector<SelectorArm> distinct;
  for (SelectorArm& arm : arms) {
    if (arm.selector == kAll) arm.num_heads = kEveryHead;
    const bool is_known =
        std::any_of(distinct.begin(), distinct.end(),
                    [&](const SelectorArm& known) { return known.label() == arm.label(); });
    if (!is_known) distinct.push_back(arm);
  }
  return distinct;
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
  if (arm.pooling_kernel != kOwnPooling) options.selection.pooling_kernel = arm.pooling_kernel;
  options.eviction = "compresskv";
  options.fallback = false;  // the arm says who chooses
  const std::string allocator = arm.allocation == kByLayer ? "compresskv" : arm.allocation;
  BudgetPlan plan = plan_from_profile(profile, allocator, budget_tokens, options);
  if (!is_score) plan.selector_heads = drawn_heads(shape, count, seed);
  return plan;
}

}  // namespace headscope::profiler
