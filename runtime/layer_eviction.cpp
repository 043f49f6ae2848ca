#include "runtime/layer_eviction.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

void check_window(const EvictionPolicy& policy,
                  const QueryWindow& window,
                  int64_t num_keys,
                  int64_t rows) {
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

at::Tensor last_rows(const at::Tensor& rows, int64_t count) {
  return rows.narrow(/*dim=*/2, rows.size(2) - count, count);
}

// Evidence of the whole layer without keys and queries yet.
LayerEvidence evidence_of(const LayerBudget& budget, const QueryWindow& window) {
  LayerEvidence evidence{.layer = budget.layer,
                         .window_q = {},
                         .window_lse = {},
                         .k = {},
                         .scale = window.scale,
                         .budget_tokens = budget.tokens,
                         .selector_heads = {},
                         .selection = budget.plan.selection};
  if (!budget.plan.selector_heads.empty()) {
    evidence.selector_heads = budget.plan.selector_heads[static_cast<size_t>(budget.layer)];
  }
  return evidence;
}

// Positions among the layer's entries, sequence by sequence, each without its padding.
RetainedPositions retain_padded(const LayerBudget& budget,
                                const FullLayer& full,
                                const QueryWindow& window,
                                int64_t first_visible) {
  const at::Tensor keys = full.keys();
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
    check_window(budget.policy, window, keys.size(2),
                 judging_rows(budget.tokens, visible, budget.plan.selection));
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

RaggedLayer evict(const LayerBudget& budget, const FullLayer& full, const QueryWindow& window) {
  const at::Tensor keys = full.keys();
  const int64_t num_keys = keys.size(2);
  const int64_t visible =
      window.attention_window > 0 ? std::min(num_keys, window.attention_window - 1) : num_keys;
  const int64_t first = num_keys - visible;
  if (!full.padding().empty()) {
    return {keys, full.values(), retain_padded(budget, full, window, first), /*first_position=*/0};
  }
  check_window(budget.policy, window, num_keys,
               judging_rows(budget.tokens, visible, budget.plan.selection));
  LayerEvidence evidence = evidence_of(budget, window);
  evidence.window_q = window.q;
  evidence.window_lse = window.lse;
  evidence.k = keys.narrow(/*dim=*/2, first, visible);
  return {evidence.k, full.values().narrow(/*dim=*/2, first, visible),
          budget.policy.retain(evidence), first};
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
