// What to keep of a KV cache: made by `headscope plan`, consumed by runtime/compressor.h. This file
// and plan_json.h are all the runtime needs of outputs/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope {

enum class Pooling { kNone, kAverage, kMax };

// Which KV heads of a layer keep the same keys: as the method's paper has it, all of them (one
// ranking per layer), or each by a ranking of its own.
enum class IndexSets { kOwn, kLayer, kKvHead };

// What single methods have beyond the window, the pooling and the sinks; each method reads its own.
// Ranges and meanings also stand in outputs/method_quirks.h, by name.
struct MethodQuirks {
  bool group_max = false;   // window methods: a KV head's vote is the maximum over its query heads,
                            // not their mean
  double head_floor = 0.2;  // adakv, adacompresskv: share of the mean budget that every KV head
                            // keeps, 0..1 (2407.11550)
  bool weigh_heads = false;  // adakv, adacompresskv: heads whose mass lies outside their own best
                             // keys compete with scores scaled down by that share
  double heavy_share = 0.5;  // h2o: share of the budget for heavy hitters, 0..1; the rest is recent
  bool mean_per_row = false;  // h2o: accumulated attention divided by the rows that see the key
  double entropy_tau = 1.6;   // cake: tau1 > 0 (2503.12491)
  double variance_tau = 0.4;  // cake: tau2 > 0
  double variance_weight = 200.0;  // cake: gamma >= 0 of the eviction indicator
  bool squared = true;             // kvcompress: squared attention; false: plain
  int64_t block_tokens = 16;       // kvcompress: tokens of an eviction block, >= 1
  bool even_layers = false;        // kvcompress: every layer gives up as much as any other
  bool compensation = true;        // razor: one token stands for what a head has dropped
  bool operator==(const MethodQuirks&) const = default;
};

// How retained positions are chosen at run time. Defaults are CompressKV's (arXiv 2508.02401).
struct SelectionOptions {
  int64_t observation_window = 8;       // last prompt queries that judge the keys; always retained
  Pooling pooling = Pooling::kAverage;  // over key positions, before the top-k
  int64_t pooling_kernel = 5;           // odd, tokens
  int64_t num_sink_tokens = 0;          // first tokens always retained
  IndexSets index_sets = IndexSets::kOwn;
  MethodQuirks quirks = {};
  bool operator==(const SelectionOptions&) const = default;
};

// What a prompt of some length can use of a plan.
struct ContextUse {
  int64_t context_length = 0;  // tokens
  int64_t usable_tokens = 0;   // sum over layers and KV heads, each budget clamped to the context
  int64_t heads_above = 0;     // KV heads whose budget exceeds the context
  bool operator==(const ContextUse&) const = default;
};

// Nominal against usable size.
struct PlanLint {
  int64_t context_length = 0;  // tokens, the length that the plan is for; 0 = not given
  int64_t nominal_tokens = 0;  // sum over layers and KV heads of the budgets
  int64_t usable_tokens = 0;   // the same, each clamped to context_length
  int64_t smallest_budget = 0;
  int64_t largest_budget = 0;
  std::vector<std::string> notes;         // warnings in words (floors lowered, waste, …)
  int64_t bytes_per_token = 0;            // key and value of one KV head; 0 = not known
  KvHeadId smallest_head = {};            // the first of those with the smallest budget
  KvHeadId largest_head = {};             // the first of those with the largest
  std::vector<ContextUse> contexts = {};  // at every length asked for, context_length first
};

struct BudgetPlan {
  ModelIdentity model;
  std::string method;     // eviction method the runtime applies: "compresskv", "snapkv", …
  std::string allocator;  // how budgets were shared out: "uniform", "compresskv", "curve", …
  SelectionOptions selection;
  std::vector<std::vector<int64_t>> budget_tokens;  // [num_layers][num_kv_heads], window included
  // [num_layers][k] query heads, best first; layers may have different k >= 1. Empty = all heads.
  std::vector<std::vector<int64_t>> selector_heads;
  Provenance provenance;
  PlanLint lint;
};

}  // namespace headscope
