// What may be tried, and the plan that a trial comes to.
#include <charconv>

#include "analysis/allocator.h"
#include "outputs/input_error.h"
#include "profiler/method_plan.h"
#include "profiler/option_check.h"
#include "profiler/tune_run.h"

namespace headscope::profiler {
namespace {

constexpr const char* kAllHeads = "all";

struct Selector {
  std::string score;  // empty = all heads
  int64_t heads = 0;
};

Selector parse_selector(const std::string& name) {
  if (name == kAllHeads) return {};
  const size_t colon = name.find(':');
  int64_t heads = 0;
  const char* const end = name.data() + name.size();
  if (colon != std::string::npos && colon > 0) {
    const auto [stop, error] = std::from_chars(name.data() + colon + 1, end, heads);
    if (error == std::errc() && stop == end && heads >= 1) return {name.substr(0, colon), heads};
  }
  throw InputError("--selectors", "\"all\", or a score and a number of heads such as \"srh:4\"",
                   "\"" + name + "\"");
}

}  // namespace

void TuneOptions::validate() const {
  if (selectors.empty() || pooling_kernels.empty() || windows.empty() || allocators.empty()) {
    throw InputError("tune", "at least one selector, pooling kernel, window and allocator",
                     "an empty list");
  }
  for (const std::string& selector : selectors) static_cast<void>(parse_selector(selector));
  for (const int64_t kernel : pooling_kernels) {
    if (kernel < 1 || kernel % 2 == 0) {
      throw InputError("--pooling-kernels", "odd numbers of tokens", std::to_string(kernel));
    }
  }
  for (const int64_t window : windows) check_range("windows", window, 1, 4096);
  for (const std::string& allocator : allocators) {
    static_cast<void>(analysis::make_allocator(allocator));
  }
  check_range("bootstrap draws", bootstrap_draws, 100, 1000000);
  check_range("chunk tokens", chunk_tokens, 16, 65536);
}

int64_t TuneOptions::num_trials() const {
  return static_cast<int64_t>(selectors.size() * pooling_kernels.size() + windows.size() - 1 +
                              allocators.size() - 1);
}

std::string TuneTrial::label() const {
  return selector + ", pooling " + std::to_string(pooling_kernel) + ", window " +
         std::to_string(window) + ", " + allocator;
}

BudgetPlan plan_of_trial(const HeadProfile& profile,
                         const TuneTrial& trial,
                         Pooling pooling,
                         const analysis::TokenBudget& budget,
                         int64_t context_length) {
  const Selector selector = parse_selector(trial.selector);
  MethodOptions options;
  options.eviction = selector.score.empty() ? "snapkv" : "compresskv";
  if (!selector.score.empty()) {
    options.score = selector.score;
    options.selector_heads = selector.heads;
    options.fallback = false;  // the trial says who chooses
  }
  options.selection.observation_window = trial.window;
  options.selection.pooling = trial.pooling_kernel == 1 ? Pooling::kNone : pooling;
  options.selection.pooling_kernel = trial.pooling_kernel;
  options.context_length = context_length;
  options.extra_tokens = budget.extra;
  return plan_from_profile(profile, trial.allocator, budget.per_kv_head, options);
}

}  // namespace headscope::profiler
