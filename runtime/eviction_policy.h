// How a method chooses what stays of one layer's keys. One policy per file in policies/; a policy
// is a value: its name, what it needs, and one function.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "outputs/budget_plan.h"

namespace headscope::runtime {

// All that a policy may look at.
struct LayerEvidence {
  int64_t layer = 0;
  at::Tensor window_q;  // [B, Hq, w, d] after rotary embedding, rows S - w .. S - 1; undefined for
                        // policies that do not judge by the window
  at::Tensor window_lse;  // [B, Hq, w] float32 of the layer's own attention; undefined = not known
  at::Tensor received;    // [B, Hq, S] float32: attention of all rows of the prompt on each key;
                          // undefined for policies that do not judge by the whole prompt
  at::Tensor k;           // [B, Hkv, S, d] after rotary embedding
  double scale = 0.0;     // multiplies q.k
  int64_t attention_window = 0;             // of the layer; 0 = full attention
  std::span<const int64_t> budget_tokens;   // [Hkv], window included
  std::span<const int64_t> selector_heads;  // query heads; empty = all
  SelectionOptions selection;
};

// Row r = b * Hkv + h: key indices 0..S-1 that stay, int64 ascending on the device of k, as many as
// the policy's BudgetScope says. Rows may share a tensor.
using RetainedPositions = std::vector<at::Tensor>;

// Whom a budget binds. In every scope a sequence of a batch has the budgets to itself, and what is
// kept sums to exactly min(budget_tokens[h], S) over the scope.
enum class BudgetScope {
  kKvHead,  // every KV head keeps its own budget
  kLayer,   // the KV heads of a layer share theirs out among themselves, prompt by prompt
  kModel,   // all KV heads of all layers do
};

struct EvictionPolicy {
  std::string_view name;
  std::string_view summary;           // one line for --help
  bool evicts = true;                 // false: budgets are not looked at, everything stays
  bool judges_by_window = false;      // needs the last observation_window queries (at least one)
  bool judges_by_prompt = false;      // needs the attention received from the whole prompt
  bool needs_selector_heads = false;  // needs head scores: a profile or a plan
  BudgetScope scope = BudgetScope::kKvHead;
  // What an evicting KV head drops is summed up in one more token, which stands in for one of its
  // budget (runtime/compensation.h), unless the plan's quirks say otherwise. Layers with a sliding
  // window have none.
  bool compensates = false;
  // Who shares the budgets out where the user names only the method: an allocator's name
  // (analysis/allocator.h), which the runtime itself never looks at.
  std::string_view allocator = "uniform";
  // Where the user says nothing. All window methods have the same, so that they are compared under
  // one window and one pooling.
  SelectionOptions defaults = {};
  SelectionOptions published = {};  // the settings of the method's own paper or program
  // Scopes kKvHead and kLayer: one layer. Called only where some budget is below S.
  RetainedPositions (*retain)(const LayerEvidence& evidence) = nullptr;
  // Scope kModel: all layers at once, in order, each with the positions that it keeps.
  std::vector<RetainedPositions> (*retain_model)(std::span<const LayerEvidence> layers) = nullptr;
};

// Whether a layer of which the policy evicted may be judged again by later queries, or sequence by
// sequence in a padded batch: only where every KV head keeps a budget of its own and nothing but
// the keys held and the last queries is looked at.
[[nodiscard]] inline bool judges_by_held_keys(const EvictionPolicy& policy) {
  return policy.scope == BudgetScope::kKvHead && !policy.judges_by_prompt && !policy.compensates;
}

// The policies this runtime knows, in the order of its help.
[[nodiscard]] std::span<const EvictionPolicy> eviction_policies();
// "full, streaming, …"
[[nodiscard]] std::string policy_names();
// Throws InputError listing the known names. `where` opens the message ("--method", "plan.json").
[[nodiscard]] const EvictionPolicy& find_policy(const std::string& name,
                                                const std::string& where = "method");

}  // namespace headscope::runtime
