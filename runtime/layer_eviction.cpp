#include "runtime/layer_eviction.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/compensation.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

void check_window(const EvictionPolicy& policy,
                  const QueryWindow& window,
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
  if (window.end != num_keys || window.num_rows() < rows) {
    throw std::invalid_argument(
        "compress: expected the queries of the prompt's last " + std::to_string(rows) +
        " tokens (FullKvCacheOptions::window_tokens, nothing appended after the prompt), found " +
        std::to_string(window.num_rows()) + " that end at token " + std::to_string(window.end) +
        " of " + std::to_string(num_keys));
  }
}

// Rows of the window that the policy looks at. Where heads compete, all of them may judge.
int64_t needed_rows(const LayerBudget& budget, int64_t num_keys) {
  const SelectionOptions& selection = budget.plan.selection;
  return budget.policy.scope == BudgetScope::kKvHead
             ? judging_rows(budget.tokens, num_keys, selection)
             : std::min(num_keys, selection.observation_window);
}

at::Tensor last_rows(const at::Tensor& rows, int64_t count) {
  return rows.narrow(/*dim=*/2, rows.size(2) - count, count);
}

// Evidence of the whole layer without keys and queries yet.
LayerEvidence evidence_of(const LayerBudget& budget, const QueryWindow& window) {
  LayerEvidence evidence{.layer = budget.layer,
                         .window_q = {},
                         .window_lse = {},
                         .received = {},
                         .k = {},
                         .scale = window.scale,
                         .attention_window = window.attention_window,
                         .budget_tokens = budget.tokens,
                         .selector_heads = {},
                         .selection = budget.plan.selection};
  if (!budget.plan.selector_heads.empty()) {
    evidence.selector_heads = budget.plan.selector_heads[static_cast<size_t>(budget.layer)];
  }
  return evidence;
}

// Evidence of a layer without padding: of a sliding window's layer what its next query sees.
LayerEvidence evidence_of(const LayerBudget& budget,
                          const FullLayer& full,
                          const QueryWindow& window) {
  const at::Tensor keys = full.keys();
  const int64_t num_keys = keys.size(2);
  const int64_t visible =
      window.attention_window > 0 ? std::min(num_keys, window.attention_window - 1) : num_keys;
  check_window(budget.policy, window, num_keys, needed_rows(budget, visible));
  LayerEvidence evidence = evidence_of(budget, window);
  evidence.window_q = window.q;
  evidence.window_lse = window.lse;
  evidence.k = last_rows(keys, visible);
  if (window.received.defined()) {
    evidence.received = last_rows(window.received, visible);
  }
  return evidence;
}

RaggedLayer lay_out(const EvictionPolicy& policy,
                    const LayerEvidence& evidence,
                    const FullLayer& full,
                    const RetainedPositions& retained) {
  const int64_t visible = evidence.k.size(2);
  const at::Tensor values = last_rows(full.values(), visible);
  RaggedLayer layer(evidence.k, values, retained, full.length() - visible);
  if (is_compensated(policy, evidence)) {
    layer.set_compensation(compensate(evidence.k, values, retained));
  }
  return layer;
}

// Positions among the layer's entries, sequence by sequence, each without its padding.
RetainedPositions retain_padded(const LayerBudget& budget,
                                const FullLayer& full,
                                const QueryWindow& window) {
  const at::Tensor keys = full.keys();
  const int64_t first_visible =
      window.attention_window > 0 ? std::max<int64_t>(0, keys.size(2) - window.attention_window + 1)
                                  : 0;
  RetainedPositions retained;
  for (int64_t b = 0; b < keys.size(0); ++b) {
    const int64_t first = std::max(first_visible, full.padding()[static_cast<size_t>(b)]);
    const int64_t visible = std::max<int64_t>(0, keys.size(2) - first);
    LayerEvidence evidence = evidence_of(budget, window);
    evidence.k = keys.narrow(/*dim=*/0, b, 1).narrow(/*dim=*/2, keys.size(2) - visible, visible);
    const int64_t rows = std::min(window.num_rows(), visible);
    if (rows > 0) {
      evidence.window_q = last_rows(window.q.narrow(/*dim=*/0, b, 1), rows);
      evidence.window_lse = last_rows(window.lse.narrow(/*dim=*/0, b, 1), rows);
    }
    check_window(budget.policy, window, keys.size(2), needed_rows(budget, visible));
    for (const at::Tensor& positions : budget.policy.retain(evidence)) {
      retained.push_back(positions + (keys.size(2) - visible));
    }
  }
  return retained;
}

// Entries of KV heads begin .. end - 1 of one sequence that stay, judged as one layer; they show
// equally many keys to the coming query.
RetainedPositions judge_heads(const LayerBudget& budget,
                              const QueryWindow& window,
                              const RaggedLayer& ragged,
                              int64_t sequence,
                              int64_t begin,
                              int64_t end) {
  const int64_t group = window.q.size(1) / ragged.num_kv_heads();
  LayerEvidence evidence = evidence_of(budget, window);
  evidence.budget_tokens =
      evidence.budget_tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  std::vector<at::Tensor> keys;
  std::vector<int64_t> hidden;
  int64_t rows = window.num_rows();
  for (int64_t head = begin; head < end; ++head) {
    const int64_t row = sequence * ragged.num_kv_heads() + head;
    hidden.push_back(ragged.num_hidden(row, window.attention_window));
    keys.push_back(ragged.keys(row).slice(/*dim=*/0, hidden.back()));
    rows = std::min(rows, ragged.recent_run(row));
  }
  evidence.k = at::stack(keys).unsqueeze(0);
  evidence.window_q = last_rows(window.q.narrow(/*dim=*/0, sequence, 1), rows)
                          .narrow(/*dim=*/1, begin * group, (end - begin) * group);
  evidence.selection.observation_window = std::min(evidence.selection.observation_window, rows);
  std::vector<int64_t> selectors;
  for (const int64_t head : evidence.selector_heads) {
    if (head >= begin * group && head < end * group) {
      selectors.push_back(head - begin * group);
    }
  }
  evidence.selector_heads = selectors;
  RetainedPositions retained = budget.policy.retain(evidence);
  for (size_t i = 0; i < retained.size(); ++i) {
    retained[i] = retained[i] + hidden[i];
  }
  return retained;
}

}  // namespace

bool keeps_everything(const LayerBudget& budget, int64_t num_keys) {
  return !budget.policy.evicts || std::all_of(budget.tokens.begin(), budget.tokens.end(),
                                              [&](int64_t tokens) { return tokens >= num_keys; });
}

bool evicts_together(const EvictionPolicy& policy, const BudgetPlan& plan, int64_t num_keys) {
  return policy.scope == BudgetScope::kModel &&
         std::any_of(plan.budget_tokens.begin(), plan.budget_tokens.end(),
                     [&](const std::vector<int64_t>& layer) {
                       return std::any_of(layer.begin(), layer.end(),
                                          [&](int64_t tokens) { return tokens < num_keys; });
                     });
}

RaggedLayer evict(const LayerBudget& budget, const FullLayer& full, const QueryWindow& window) {
  if (!full.padding().empty()) {
    return {full.keys(), full.values(), retain_padded(budget, full, window),
            /*first_position=*/0};
  }
  const LayerEvidence evidence = evidence_of(budget, full, window);
  return lay_out(budget.policy, evidence, full, budget.policy.retain(evidence));
}

std::vector<std::optional<RaggedLayer>> evict_together(const EvictionPolicy& policy,
                                                       const BudgetPlan& plan,
                                                       const FullKvCache& full) {
  std::vector<LayerBudget> budgets;  // what the evidence points into
  std::vector<LayerEvidence> layers;
  budgets.reserve(static_cast<size_t>(full.num_layers()));
  for (int64_t layer = 0; layer < full.num_layers(); ++layer) {
    budgets.push_back({policy, plan, layer, plan.budget_tokens[static_cast<size_t>(layer)]});
    layers.push_back(evidence_of(budgets.back(), full.layer(layer), full.window(layer)));
  }
  const std::vector<RetainedPositions> retained = policy.retain_model(layers);
  std::vector<std::optional<RaggedLayer>> evicted(layers.size());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const FullLayer& held = full.layer(layers[layer].layer);
    const bool keeps_all = std::all_of(
        retained[layer].begin(), retained[layer].end(),
        [&](const at::Tensor& positions) { return positions.numel() == held.length(); });
    if (!keeps_all) {
      evicted[layer].emplace(lay_out(policy, layers[layer], held, retained[layer]));
    }
  }
  return evicted;
}

void evict_again(const LayerBudget& budget, const QueryWindow& window, RaggedLayer& ragged) {
  if (window.end != ragged.next_position() || window.num_rows() == 0) {
    throw std::invalid_argument("evict_again: expected the last queries up to token " +
                                std::to_string(ragged.next_position()) + ", found " +
                                std::to_string(window.num_rows()) + " up to token " +
                                std::to_string(window.end));
  }
  const int64_t num_heads = ragged.num_kv_heads();
  RetainedPositions kept;
  for (int64_t row = 0; row < ragged.num_rows(); row += num_heads) {
    const auto shown = [&](int64_t r) {
      return ragged.length(r) - ragged.num_hidden(r, window.attention_window);
    };
    bool alike = true;
    for (int64_t r = row; r < row + num_heads; ++r) {
      alike = alike && shown(r) == shown(row);
    }
    const int64_t step = alike ? num_heads : 1;
    for (int64_t head = 0; head < num_heads; head += step) {
      for (at::Tensor& entries :
           judge_heads(budget, window, ragged, row / num_heads, head, head + step)) {
        kept.push_back(std::move(entries));
      }
    }
  }
  ragged.keep(kept);
}

}  // namespace headscope::runtime
