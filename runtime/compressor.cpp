#include "runtime/compressor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "outputs/input_error.h"
#include "outputs/plan_json.h"
#include "runtime/compensation.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

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

bool keeps_everything(const EvictionPolicy& policy,
                      const std::vector<int64_t>& budget_tokens,
                      int64_t num_keys) {
  return !policy.evicts || std::all_of(budget_tokens.begin(), budget_tokens.end(),
                                       [&](int64_t budget) { return budget >= num_keys; });
}

void check_window(const EvictionPolicy& policy,
                  const FullKvCache::Window& window,
                  int64_t num_keys,
                  int64_t rows) {
  if (policy.judges_by_prompt && (!window.received.defined() || window.end != num_keys)) {
    throw std::invalid_argument(
        "compress: expected the attention received from the whole prompt "
        "(FullKvCacheOptions::sums_attention, nothing appended after the prompt), found none");
  }
  if (!policy.judges_by_window || rows == 0) {
    return;
  }
  const int64_t remembered = window.q.defined() ? window.q.size(2) : 0;
  if (window.end != num_keys || remembered < rows) {
    throw std::invalid_argument(
        "compress: expected the queries of the prompt's last " + std::to_string(rows) +
        " tokens (FullKvCacheOptions::window_tokens, nothing appended after the prompt), found " +
        std::to_string(remembered) + " that end at token " + std::to_string(window.end) + " of " +
        std::to_string(num_keys));
  }
}

// Keys that the layer's next query can see: all of them without a sliding window.
int64_t num_visible(const FullKvCache::Window& window, int64_t num_keys) {
  return window.attention_window > 0 ? std::min(num_keys, window.attention_window - 1) : num_keys;
}

// What the policy may look at of one layer: of a sliding window's layer what its next query sees.
LayerEvidence evidence_of(const EvictionPolicy& policy,
                          const BudgetPlan& plan,
                          const FullKvCache& full,
                          int64_t layer) {
  const at::Tensor keys = full.keys(layer);
  const FullKvCache::Window& window = full.window(layer);
  const int64_t num_keys = keys.size(2);
  const int64_t visible = num_visible(window, num_keys);
  const std::vector<int64_t>& budgets = plan.budget_tokens[static_cast<size_t>(layer)];
  // Where heads compete, all rows of the window may judge.
  const int64_t rows = policy.scope == BudgetScope::kKvHead
                           ? judging_rows(budgets, visible, plan.selection)
                           : std::min(visible, plan.selection.observation_window);
  check_window(policy, window, num_keys, rows);
  LayerEvidence evidence{.layer = layer,
                         .window_q = window.q,
                         .window_lse = window.lse,
                         .received = {},
                         .k = keys.narrow(/*dim=*/2, num_keys - visible, visible),
                         .scale = window.scale,
                         .attention_window = window.attention_window,
                         .budget_tokens = budgets,
                         .selector_heads = {},
                         .selection = plan.selection};
  if (window.received.defined()) {
    evidence.received = window.received.narrow(/*dim=*/2, num_keys - visible, visible);
  }
  if (!plan.selector_heads.empty()) {
    evidence.selector_heads = plan.selector_heads[static_cast<size_t>(layer)];
  }
  return evidence;
}

RaggedLayer apply(const EvictionPolicy& policy,
                  const FullKvCache& full,
                  const LayerEvidence& evidence,
                  const RetainedPositions& retained) {
  const at::Tensor values = full.values(evidence.layer);
  const int64_t visible = evidence.k.size(2);
  const int64_t first = values.size(2) - visible;
  const at::Tensor visible_values = values.narrow(/*dim=*/2, first, visible);
  RaggedLayer layer(evidence.k, visible_values, retained, first);
  if (is_compensated(policy, evidence)) {
    layer.set_compensation(compensate(evidence.k, visible_values, retained));
  }
  return layer;
}

// One layer after eviction.
RaggedLayer evict(const EvictionPolicy& policy,
                  const BudgetPlan& plan,
                  const FullKvCache& full,
                  int64_t layer) {
  const LayerEvidence evidence = evidence_of(policy, plan, full, layer);
  return apply(policy, full, evidence, policy.retain(evidence));
}

bool keeps_all_keys(const RetainedPositions& retained, int64_t num_keys) {
  return std::all_of(retained.begin(), retained.end(),
                     [&](const at::Tensor& row) { return row.numel() == num_keys; });
}

// All layers after eviction; none where a layer keeps everything.
std::vector<std::optional<RaggedLayer>> evict_together(const EvictionPolicy& policy,
                                                       const BudgetPlan& plan,
                                                       const FullKvCache& full) {
  std::vector<LayerEvidence> layers;
  for (int64_t layer = 0; layer < full.num_layers(); ++layer) {
    layers.push_back(evidence_of(policy, plan, full, layer));
  }
  const std::vector<RetainedPositions> retained = policy.retain_model(layers);
  std::vector<std::optional<RaggedLayer>> evicted(layers.size());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    if (!keeps_all_keys(retained[layer], full.keys(layers[layer].layer).size(2))) {
      evicted[layer].emplace(apply(policy, full, layers[layer], retained[layer]));
    }
  }
  return evicted;
}

bool keeps_everything(const EvictionPolicy& policy, const BudgetPlan& plan, int64_t num_keys) {
  return std::all_of(
      plan.budget_tokens.begin(), plan.budget_tokens.end(),
      [&](const std::vector<int64_t>& layer) { return keeps_everything(policy, layer, num_keys); });
}

bool evicts_together(const EvictionPolicy& policy, const BudgetPlan& plan, int64_t num_keys) {
  return policy.scope == BudgetScope::kModel && !keeps_everything(policy, plan, num_keys);
}

}  // namespace

FullKvCacheOptions full_cache_options(const BudgetPlan& plan) {
  const EvictionPolicy& policy = find_policy(plan.method, "plan: method");
  return {.reserve_tokens = 0,
          .window_tokens = std::max<int64_t>(1, plan.selection.observation_window),
          .sums_attention = policy.judges_by_prompt};
}

CompressingKvCache::CompressingKvCache(BudgetPlan plan)
    : plan_(std::move(plan)),
      policy_(usable_policy(plan_)),
      full_(plan_.model.shape.num_layers, full_cache_options(plan_)) {}

LayerAttention CompressingKvCache::attend(const LayerStep& step) {
  if (is_compressed()) {
    return ragged_->attend(step);
  }
  LayerAttention attention = full_.attend(step);
  if (evicting_) {
    evict_layer(step.layer);
  }
  return attention;
}

void CompressingKvCache::evict_layer(int64_t layer) {
  const int64_t num_keys = full_.keys(layer).size(2);
  const bool is_last = layer == full_.num_layers() - 1;
  if (ragged_ == nullptr) {
    ragged_ = std::make_unique<RaggedKvCache>(full_.num_layers(), num_keys);
  }
  if (evicts_together(policy_, plan_, num_keys)) {
    if (is_last) {
      evict_model();
    }
  } else if (keeps_everything(policy_, plan_.budget_tokens[static_cast<size_t>(layer)], num_keys)) {
    keep(layer, std::nullopt);
  } else {
    keep(layer, evict(policy_, plan_, full_, layer));
  }
  if (is_last) {
    evicting_ = false;
    full_.clear();
  }
}

void CompressingKvCache::evict_model() {
  std::vector<std::optional<RaggedLayer>> evicted = evict_together(policy_, plan_, full_);
  for (int64_t layer = 0; layer < full_.num_layers(); ++layer) {
    keep(layer, std::move(evicted[static_cast<size_t>(layer)]));
  }
}

// From here on the layer's full tensors are gone, or belong to the ragged cache where nothing was
// evicted.
void CompressingKvCache::keep(int64_t layer, std::optional<RaggedLayer> evicted) {
  FullLayer full = full_.release_layer(layer);
  if (evicted) {
    ragged_->set_layer(layer, std::move(*evicted));
  } else {
    ragged_->set_layer(layer, std::move(full));
  }
}

int64_t CompressingKvCache::next_position() const {
  return is_compressed() ? ragged_->next_position() : full_.next_position();
}

int64_t CompressingKvCache::bytes_held() const {
  return full_.bytes_held() + (ragged_ == nullptr ? 0 : ragged_->bytes_held());
}

void CompressingKvCache::expect_end_of_prompt() {
  if (ragged_ == nullptr) {
    evicting_ = true;
  }
}

const RaggedKvCache& CompressingKvCache::retained() const {
  if (!is_compressed()) {
    throw std::logic_error("CompressingKvCache: the prompt's last pass has not run yet");
  }
  return *ragged_;
}

void CompressingKvCache::truncate(int64_t length) {
  if (is_compressed()) {
    ragged_->truncate(length);
  } else {
    full_.truncate(length);
  }
}

std::unique_ptr<CompressingKvCache> make_cache(const BudgetPlan& plan) {
  return std::make_unique<CompressingKvCache>(plan);
}

std::unique_ptr<RaggedKvCache> compress(const FullKvCache& full, const BudgetPlan& plan) {
  const EvictionPolicy& policy = usable_policy(plan);
  if (full.num_layers() != plan.model.shape.num_layers || full.next_position() == 0) {
    throw std::invalid_argument("compress: expected a prompt in a cache of " +
                                std::to_string(plan.model.shape.num_layers) + " layers, found " +
                                std::to_string(full.next_position()) + " tokens in " +
                                std::to_string(full.num_layers()));
  }
  const int64_t num_keys = full.next_position();
  auto ragged = std::make_unique<RaggedKvCache>(full.num_layers(), num_keys);
  std::vector<std::optional<RaggedLayer>> together;
  if (evicts_together(policy, plan, num_keys)) {
    together = evict_together(policy, plan, full);
  }
  for (int64_t layer = 0; layer < full.num_layers(); ++layer) {
    const auto l = static_cast<size_t>(layer);
    if (!together.empty() && together[l]) {
      ragged->set_layer(layer, std::move(*together[l]));
    } else if (!together.empty() || keeps_everything(policy, plan.budget_tokens[l], num_keys)) {
      ragged->set_layer(layer, full.copy_layer(layer));
    } else {
      ragged->set_layer(layer, evict(policy, plan, full, layer));
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
