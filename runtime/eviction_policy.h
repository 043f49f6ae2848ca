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
  at::Tensor k;           // [B, Hkv, S, d] after rotary embedding
  double scale = 0.0;     // multiplies q.k
  std::span<const int64_t> budget_tokens;   // [Hkv], window included
  std::span<const int64_t> selector_heads;  // query heads; empty = all
  SelectionOptions selection;
};

// Row r = b * Hkv + h: key indices 0..S-1 that stay, int64 ascending on the device of k, exactly
// min(budget_tokens[h], S) of them. Rows may share a tensor.
using RetainedPositions = std::vector<at::Tensor>;

struct EvictionPolicy {
  std::string_view name;
  std::string_view summary;           // one line for --help
  bool evicts = true;                 // false: budgets are not looked at, everything stays
  bool judges_by_window = false;      // needs the last observation_window queries (at least one)
  bool needs_selector_heads = false;  // needs head scores: a profile or a plan
  SelectionOptions defaults;          // the method's own, where the user says nothing
  RetainedPositions (*retain)(const LayerEvidence& evidence) = nullptr;
};

// The policies this runtime knows, in the order of its help.
[[nodiscard]] std::span<const EvictionPolicy> eviction_policies();
// "full, streaming, …"
[[nodiscard]] std::string policy_names();
// Throws InputError listing the known names. `where` opens the message ("--method", "plan.json").
[[nodiscard]] const EvictionPolicy& find_policy(const std::string& name,
                                                const std::string& where = "method");

}  // namespace headscope::runtime
