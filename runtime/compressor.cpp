#include "runtime/compressor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "outputs/input_error.h"
#include "outputs/plan_json.h"
#include "runtime/layer_eviction.h"

namespace headscope::runtime {

namespace {

// Far above any length, far below overflow when a budget is added.
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max() / 4;

// The plan's policy, once the plan is known to hold all that the policy needs.
const EvictionPolicy& usable_policy(const BudgetPlan& plan) {
  outputs::check_plan(plan, "plan");
  const EvictionPolicy& policy = find_policy(plan.method, "plan: method");
  if (policy.needs_selector_heads && plan.selector_heads.empty()) {
    throw InputError("plan: selector_heads", "query heads per layer for " + plan.method, "none",
                     "Make the plan from a profile, or choose a method without head scores.");
  }
  if (policy.judges_by_window && plan.selection.observation_window < 1) {
    throw InputError("plan: options: observation_window", "1 or more tokens for " + plan.method,
                     std::to_string(plan.selection.observation_window));
  }
  return policy;
}

// Most tokens of each KV head of a layer: its budget, but not below `least`, and `more` on top.
std::vector<int64_t> limits(const BudgetPlan& plan, int64_t layer, int64_t least, int64_t more) {
  std::vector<int64_t> tokens = plan.budget_tokens[static_cast<size_t>(layer)];
  for (int64_t& budget : tokens) {
    budget = std::max(budget, least) + more;
  }
  return tokens;
}

void require_held_keys(const EvictionPolicy& policy, const std::string& what) {
  if (!judges_by_held_keys(policy)) {
    throw InputError(what, "a method that judges every KV head by the keys it holds",
                     std::string(policy.name),
                     "It judges the whole prompt, all heads together or by a sum of what it "
                     "dropped: leave this option out, or choose another method.");
  }
}

void check_options(const CompressorOptions& options, const EvictionPolicy& policy) {
  if (options.prefill_tokens < 0) {
    throw InputError("prefill tokens", "0 or more tokens", std::to_string(options.prefill_tokens));
  }
  if (options.decode_tokens < 0) {
    throw InputError("decode tokens", "0 or more tokens", std::to_string(options.decode_tokens));
  }
  if (options.drift_sentinels < 0) {
    throw InputError("drift sentinels", "0 or more heads", std::to_string(options.drift_sentinels));
  }
  if (!policy.evicts) {
    return;
  }
  if (options.prefill_tokens > 0) {
    require_held_keys(policy, "prefill tokens");
  }
  if (options.decode_tokens > 0) {
    require_held_keys(policy, "decode tokens");
  }
  if (options.compress_turns) {
    require_held_keys(policy, "compressing turns");
  }
  if (options.drift_sentinels > 0) {
    require_held_keys(policy, "drift sentinels");
  }
}

}  // namespace

FullKvCacheOptions full_cache_options(const BudgetPlan& plan) {
  const EvictionPolicy& policy = find_policy(plan.method, "plan: method");
  return {.reserve_tokens = 0,
          .window_tokens = std::max<int64_t>(1, plan.selection.observation_window),
          .sums_attention = policy.judges_by_prompt};
}

CompressingKvCache::CompressingKvCache(BudgetPlan plan, const CompressorOptions& options)
    : plan_(std::move(plan)),
      options_(options),
      policy_(usable_policy(plan_)),
      window_tokens_(std::max<int64_t>(1, plan_.selection.observation_window)),
      full_(plan_.model.shape.num_layers, full_cache_options(plan_)),
      windows_(static_cast<size_t>(plan_.model.shape.num_layers)) {
  check_options(options_, policy_);
}

LayerAttention CompressingKvCache::attend(const LayerStep& step) {
  if (step.layer == 0 && ragged_ == nullptr) {
    const int64_t num_keys = full_.next_position() + step.k.size(2);
    leaving_full_ =
        prompt_ends_ || (options_.prefill_tokens > 0 && num_keys > options_.prefill_tokens);
  }
  LayerAttention attention;
  if (ragged_ == nullptr || leaving_full_) {
    attention = full_.attend(step);
    if (leaving_full_) {
      leave_full(step.layer);
    }
  } else {
    attention = ragged_->attend(step);
    if (watch_) {
      watch_->see_pass(step, attention, prompt_over_);
    }
    const Allowance allowed = allowance();
    if (allowed.evicts) {
      QueryWindow& window = windows_[static_cast<size_t>(step.layer)];
      window.remember(step, attention, window_tokens_, ragged_->layer_end(step.layer));
      shrink(step.layer, allowed);
    }
  }
  if (step.layer == full_.num_layers() - 1) {
    end_pass();
  }
  return attention;
}

// What the pass now running may leave behind.
CompressingKvCache::Allowance CompressingKvCache::allowance() const {
  if (!policy_.evicts) {
    return {.evicts = false};
  }
  if (!prompt_over_) {
    return prompt_ends_
               ? Allowance{.trims = true}
               : Allowance{.evicts = options_.prefill_tokens > 0, .least = options_.prefill_tokens};
  }
  if (prompt_ends_ && options_.compress_turns) {
    return {};
  }
  // Queries are remembered for an eviction that may come, by whatever it is caused.
  return {.evicts = options_.decode_tokens > 0 || options_.compress_turns,
          .more = options_.decode_tokens > 0 ? options_.decode_tokens : kNoLimit};
}

// From the full cache to the ragged one, layer by layer.
void CompressingKvCache::leave_full(int64_t layer) {
  if (ragged_ == nullptr) {
    const std::span<const int64_t> padding = full_.padding();
    ragged_ = std::make_unique<RaggedKvCache>(full_.num_layers(), full_.keys(layer).size(2),
                                              std::vector<int64_t>(padding.begin(), padding.end()));
    if (options_.drift_sentinels > 0) {
      watch_.emplace(full_.num_layers(), options_.drift_sentinels, options_.sentinel_heads,
                     std::vector<int64_t>(padding.begin(), padding.end()));
    }
  }
  QueryWindow& window = windows_[static_cast<size_t>(layer)];
  window = full_.window(layer);
  if (watch_) {
    watch_->offer(layer, full_.layer(layer), window);
  }
  const bool is_last = layer == full_.num_layers() - 1;
  if (evicts_together(policy_, plan_, full_.keys(layer).size(2))) {
    if (is_last) {
      leave_full_together();
    }
  } else {
    ragged_->set_layer(layer, full_.release_layer(layer));
    shrink(layer, allowance());
  }
  if (is_last) {
    leaving_full_ = false;
    full_.clear();
  }
}

void CompressingKvCache::leave_full_together() {
  std::vector<std::optional<RaggedLayer>> evicted = evict_together(policy_, plan_, full_);
  for (int64_t layer = 0; layer < full_.num_layers(); ++layer) {
    FullLayer full = full_.release_layer(layer);
    if (auto& ragged = evicted[static_cast<size_t>(layer)]) {
      ragged_->set_layer(layer, std::move(*ragged));
    } else {
      ragged_->set_layer(layer, std::move(full));
    }
  }
}

void CompressingKvCache::shrink(int64_t layer, const Allowance& allowed) {
  const LayerBudget budget{policy_, plan_, layer, limits(plan_, layer, allowed.least, /*more=*/0)};
  if (allowed.trims || ragged_->exceeds(layer, limits(plan_, layer, allowed.least, allowed.more))) {
    ragged_->evict_layer(budget, windows_[static_cast<size_t>(layer)]);
  }
  if (watch_ && prompt_ends_ && !prompt_over_) {
    watch_->see_window(layer, windows_[static_cast<size_t>(layer)], ragged_->ragged_layer(layer));
  }
}

void CompressingKvCache::end_pass() {
  if (prompt_ends_ && !prompt_over_) {
    prompt_over_ = true;
    ragged_->end_prompt();
  }
  prompt_ends_ = false;
  if (watch_) {
    watch_->end_pass();
  }
  if (prompt_over_ && !allowance().evicts) {
    windows_.assign(windows_.size(), QueryWindow{});
  }
}

int64_t CompressingKvCache::next_position() const {
  return ragged_ != nullptr && !leaving_full_ ? ragged_->next_position() : full_.next_position();
}

int64_t CompressingKvCache::bytes_held() const {
  return full_.bytes_held() + (ragged_ == nullptr ? 0 : ragged_->bytes_held()) +
         (watch_ ? watch_->bytes_held() : 0);
}

void CompressingKvCache::expect_prompt(int64_t num_tokens) {
  full_.expect_prompt(options_.prefill_tokens > 0 ? std::min(num_tokens, options_.prefill_tokens)
                                                  : num_tokens);
  if (watch_) watch_->begin_turn();
}

void CompressingKvCache::expect_end_of_prompt() {
  prompt_ends_ = true;
}

void CompressingKvCache::expect_padding(std::vector<int64_t> padding) {
  if (ragged_ != nullptr) {
    throw std::logic_error("CompressingKvCache: padding has to be told before the first pass");
  }
  if (policy_.evicts &&
      std::any_of(padding.begin(), padding.end(), [](int64_t tokens) { return tokens > 0; })) {
    require_held_keys(policy_, "prompts of different lengths");
  }
  full_.expect_padding(std::move(padding));
}

std::span<const int64_t> CompressingKvCache::padding() const {
  return ragged_ != nullptr ? ragged_->padding() : full_.padding();
}

const RaggedKvCache& CompressingKvCache::retained() const {
  if (!is_compressed()) {
    throw std::logic_error("CompressingKvCache: the prompt's last pass has not run yet");
  }
  return *ragged_;
}

KeptMass CompressingKvCache::drift(int64_t sequence) const {
  if (!is_compressed() || !watch_) {
    throw std::logic_error(
        "CompressingKvCache: drift is measured from the prompt's end on, by drift_sentinels");
  }
  return watch_->report(sequence);
}

void CompressingKvCache::truncate(int64_t length) {
  if (ragged_ == nullptr) {
    full_.truncate(length);
    return;
  }
  ragged_->truncate(length);
  for (QueryWindow& window : windows_) {
    window.truncate(length);
  }
  if (watch_) {
    watch_->truncate(length);
  }
}

std::unique_ptr<CompressingKvCache> make_cache(const BudgetPlan& plan,
                                               const CompressorOptions& options) {
  return std::make_unique<CompressingKvCache>(plan, options);
}

std::unique_ptr<RaggedKvCache> compress(const FullKvCache& full, const BudgetPlan& plan) {
  const EvictionPolicy& policy = usable_policy(plan);
  if (full.num_layers() != plan.model.shape.num_layers || full.next_position() == 0) {
    throw std::invalid_argument("compress: expected a prompt in a cache of " +
                                std::to_string(plan.model.shape.num_layers) + " layers, found " +
                                std::to_string(full.next_position()) + " tokens in " +
                                std::to_string(full.num_layers()));
  }
  const std::span<const int64_t> padding = full.padding();
  if (policy.evicts && !padding.empty()) {
    require_held_keys(policy, "prompts of different lengths");
  }
  auto ragged =
      std::make_unique<RaggedKvCache>(full.num_layers(), full.next_position(),
                                      std::vector<int64_t>(padding.begin(), padding.end()));
  std::vector<std::optional<RaggedLayer>> together;
  if (evicts_together(policy, plan, full.next_position())) {
    together = evict_together(policy, plan, full);
  }
  for (int64_t layer = 0; layer < full.num_layers(); ++layer) {
    if (!together.empty()) {
      if (auto& evicted = together[static_cast<size_t>(layer)]) {
        ragged->set_layer(layer, std::move(*evicted));
      } else {
        ragged->set_layer(layer, full.copy_layer(layer));
      }
      continue;
    }
    const LayerBudget budget{policy, plan, layer, limits(plan, layer, /*least=*/0, /*more=*/0)};
    if (keeps_everything(budget, full.next_position())) {
      ragged->set_layer(layer, full.copy_layer(layer));
    } else {
      ragged->set_layer(layer, evict(budget, full.layer(layer), full.window(layer)));
    }
  }
  return ragged;
}

BudgetPlan uniform_plan(const std::string& method,
                        const ModelShape& shape,
                        int64_t budget_tokens,
                        const std::optional<SelectionOptions>& selection) {
  const EvictionPolicy& policy = find_policy(method);
  if (budget_tokens < 1) {
    throw InputError("budget", "1 or more tokens per KV head", std::to_string(budget_tokens));
  }
  BudgetPlan plan;
  plan.model.shape = shape;
  plan.method = method;
  plan.allocator = "uniform";
  plan.selection = selection.value_or(policy.defaults);
  plan.budget_tokens.assign(
      static_cast<size_t>(shape.num_layers),
      std::vector<int64_t>(static_cast<size_t>(shape.num_kv_heads), budget_tokens));
  return plan;
}

int64_t budget_for_retention(double retention, int64_t prompt_tokens) {
  if (!(retention > 0.0 && retention <= 1.0)) {
    throw InputError("retention", "a share above 0 and at most 1", std::to_string(retention));
  }
  return std::max<int64_t>(1, std::llround(retention * static_cast<double>(prompt_tokens)));
}

}  // namespace headscope::runtime
