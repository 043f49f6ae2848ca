// When to evict: in the pass that holds the prompt's last tokens, layer by layer right after the
// layer attended; and, where CompressorOptions ask for it, while a long prompt is still being read,
// while tokens are generated, and at the end of later turns.
//
//   auto cache = make_cache(read_plan_json("plan.json"));
//   cache->expect_padding({0, 12});            // only in a batch of different lengths
//   cache->expect_prompt(prompt.size());       // optional: storage at once
//   ... passes of the prompt; before the last one: cache->expect_end_of_prompt();
//   ... decode steps, further turns
//
// Further turns: their tokens are appended after what was retained and see it, at the positions it
// always had; what the first question let go is gone for the second too. Unless the options say
// otherwise nothing of a later turn is ever evicted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "outputs/budget_plan.h"
#include "runtime/drift_watch.h"
#include "runtime/eviction_policy.h"
#include "runtime/full_kv_cache.h"
#include "runtime/kv_cache.h"
#include "runtime/query_window.h"
#include "runtime/ragged_kv_cache.h"

namespace headscope::runtime {

// Only for policies that judges_by_held_keys() (eviction_policy.h); of the others prefill_tokens,
// decode_tokens, compress_turns, drift_sentinels and padding are refused (InputError).
struct CompressorOptions {
  // Bounds the memory of a long prompt: after each of its passes but the last a layer that holds
  // more tokens per KV head than this (or than the head's budget, where that is more) is evicted
  // down to it, judged by the last queries of that pass. 0 = everything is held until the prompt
  // ends. What questions at the prompt's end would have asked for may be gone by then.
  int64_t prefill_tokens = 0;
  // Bounds the memory of a long generation or conversation: a layer of which a KV head holds more
  // than its budget and this many tokens is evicted down to the budgets again, judged by the last
  // queries. 0 = what comes after the prompt is never evicted.
  int64_t decode_tokens = 0;
  // Evicts down to the budgets at the end of every later turn too (expect_end_of_prompt()), judged
  // by that turn's last queries.
  bool compress_turns = false;
  // Query heads that watch for drift (drift_watch.h). 0 = nothing is measured.
  int64_t drift_sentinels = 0;
  // Which ones, best first: the first drift_sentinels of these that can watch; heads known to
  // retrieve (HeadProfile's `retrieval`). Empty: those that the prompt itself shows.
  std::vector<HeadId> sentinel_heads = {};
};

// Holds everything while the prompt is read, a RaggedKvCache from then on. Most memory is held in
// the prompt's last pass: what its layers keep plus the full layers still to come. With
// prefill_tokens it is never more than that and one pass on top; with BudgetScope::kModel all full
// layers and what is kept of them. A prompt whose tokens all fit the
// budgets is left untouched: results are those of a FullKvCache, bit for bit.
class CompressingKvCache : public KvCache {
 public:
  // As make_cache().
  explicit CompressingKvCache(BudgetPlan plan, const CompressorOptions& options = {});

  LayerAttention attend(const LayerStep& step) override;
  [[nodiscard]] int64_t next_position() const override;
  [[nodiscard]] int64_t bytes_held() const override;
  void expect_prompt(int64_t num_tokens) override;
  // The first call ends the prompt. Later ones end a turn, which has an effect with compress_turns
  // only.
  void expect_end_of_prompt() override;
  void expect_padding(std::vector<int64_t> padding) override;
  [[nodiscard]] std::span<const int64_t> padding() const override;

  [[nodiscard]] const BudgetPlan& plan() const { return plan_; }
  [[nodiscard]] bool is_compressed() const { return prompt_over_; }
  // What was kept. std::logic_error before the prompt is over.
  [[nodiscard]] const RaggedKvCache& retained() const;
  // How much of a request's attention fell on what was kept. std::logic_error before the prompt is
  // over, or where no sentinels were asked for.
  [[nodiscard]] KeptMass drift(int64_t sequence = 0) const;
  // As FullKvCache's before anything was evicted, as RaggedKvCache's after it.
  void truncate(int64_t length);

 private:
  // What a pass may leave in a layer: evicted down to max(budget, least) once a KV head holds
  // `more` beyond that.
  struct Allowance {
    bool evicts = true;
    bool trims = false;  // brings storage down to what is stated even where no key leaves
    int64_t least = 0;
    int64_t more = 0;
  };
  [[nodiscard]] Allowance allowance() const;
  void leave_full(int64_t layer);
  void leave_full_together();
  void shrink(int64_t layer, const Allowance& allowed);
  void end_pass();

  BudgetPlan plan_;
  CompressorOptions options_;
  EvictionPolicy policy_;
  int64_t window_tokens_ = 0;
  FullKvCache full_;
  std::unique_ptr<RaggedKvCache> ragged_;
  std::vector<QueryWindow> windows_;  // of the layers in ragged_
  std::optional<DriftWatch> watch_;
  bool prompt_ends_ = false;  // with the pass now running or to come
  bool prompt_over_ = false;
  bool leaving_full_ = false;  // the pass now running moves its layers to ragged_
};

// An empty cache that will compress its prompt by this plan. InputError when the method is unknown
// or the plan lacks what it needs (selector heads, an observation window), or the plan is not
// sound.
[[nodiscard]] std::unique_ptr<CompressingKvCache> make_cache(const BudgetPlan& plan,
                                                             const CompressorOptions& options = {});

// The same for a prompt already read, which stays: one prefill serves many methods and budgets. The
// cache must have remembered what the method judges by (full_cache_options()) and hold the prompt
// and nothing after it (truncate() first); std::invalid_argument otherwise.
[[nodiscard]] std::unique_ptr<RaggedKvCache> compress(const FullKvCache& full,
                                                      const BudgetPlan& plan);

// What a full cache has to remember so that it can be compressed by this plan. InputError for an
// unknown method.
[[nodiscard]] FullKvCacheOptions full_cache_options(const BudgetPlan& plan);

// The same budget for every KV head; no profile needed. `selection` defaults to the method's own
// options; a method that needs selector heads gets none here. InputError for an unknown method or a
// budget below 1. "full" does not look at budgets.
[[nodiscard]] BudgetPlan uniform_plan(const std::string& method,
                                      const ModelShape& shape,
                                      int64_t budget_tokens,
                                      const std::optional<SelectionOptions>& selection = {});

// Tokens per KV head that keep the share `retention` of a prompt, to the nearest token, at least 1.
// InputError unless 0 < retention <= 1.
[[nodiscard]] int64_t budget_for_retention(double retention, int64_t prompt_tokens);

}  // namespace headscope::runtime
