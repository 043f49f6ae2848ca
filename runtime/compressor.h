// When to evict: once, in the pass that holds the prompt's last tokens, layer by layer right after
// the layer attended; all layers together after the last one where they compete for one budget
// (BudgetScope::kModel). Generated tokens are always kept.
//
//   auto cache = make_cache(read_plan_json("plan.json"));
//   cache->expect_prompt(prompt.size());       // optional: storage at once
//   ... passes of the prompt; before the last one: cache->expect_end_of_prompt();
//   ... decode steps
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "outputs/budget_plan.h"
#include "runtime/eviction_policy.h"
#include "runtime/full_kv_cache.h"
#include "runtime/kv_cache.h"
#include "runtime/ragged_kv_cache.h"

namespace headscope::runtime {

// Holds everything while the prompt is read, a RaggedKvCache from then on. Most memory is held in
// the prompt's last pass: what its layers keep plus the full layers still to come (with
// BudgetScope::kModel all full layers and what is kept of them). A prompt whose
// tokens all fit the budgets is left untouched: results are those of a FullKvCache, bit for bit.
class CompressingKvCache : public KvCache {
 public:
  // As make_cache().
  explicit CompressingKvCache(BudgetPlan plan);

  LayerAttention attend(const LayerStep& step) override;
  [[nodiscard]] int64_t next_position() const override;
  [[nodiscard]] int64_t bytes_held() const override;
  void expect_prompt(int64_t num_tokens) override { full_.expect_prompt(num_tokens); }
  // Only the first prompt is compressed: later calls have no effect.
  void expect_end_of_prompt() override;

  [[nodiscard]] const BudgetPlan& plan() const { return plan_; }
  [[nodiscard]] bool is_compressed() const { return ragged_ != nullptr && !evicting_; }
  // What was kept. std::logic_error before the prompt is over.
  [[nodiscard]] const RaggedKvCache& retained() const;
  // As FullKvCache's before the prompt is over, as RaggedKvCache's after it.
  void truncate(int64_t length);

 private:
  void evict_layer(int64_t layer);
  void evict_model();
  void keep(int64_t layer, std::optional<RaggedLayer> evicted);

  BudgetPlan plan_;
  EvictionPolicy policy_;
  FullKvCache full_;
  std::unique_ptr<RaggedKvCache> ragged_;
  bool evicting_ = false;  // the prompt's last pass is to come or running
};

// An empty cache that will compress its prompt by this plan. InputError when the method is unknown
// or the plan lacks what it needs (selector heads, an observation window), or the plan is not
// sound.
[[nodiscard]] std::unique_ptr<CompressingKvCache> make_cache(const BudgetPlan& plan);

// The same for a prompt already read, which stays: one prefill serves many methods and budgets. The
// cache must have remembered what the method judges by, `plan.selection.observation_window` queries
// or the attention received (full_cache_options()), and hold the prompt and nothing after it
// (truncate() first); std::invalid_argument otherwise.
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
