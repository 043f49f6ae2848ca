// RazorAttention's heads (arXiv 2407.15891): those that copy keep everything, the others the first
// tokens and a recent window.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// Query heads' scores become their KV head's by the maximum over the group; the top
// induction_share of all KV heads by induction and the top echo_share by echo are retrieval heads
// (a head that leads both lists counts once). Rounded to the nearest count, at least one each.
// [num_layers * num_kv_heads], true = keeps everything.
[[nodiscard]] std::vector<bool> razor_retrieval_heads(const AllocatorInput& input);

// Retrieval heads keep the whole context; the others share the rest evenly as sinks and recent
// tokens. The paper's own buffer, max(4000, n / 5) recent tokens beside the sinks, fixes a total:
// the notes say how this budget compares. Where the budget cannot pay for the retrieval heads, the
// others keep the floor (two tokens per sink) and the retrieval heads an equal part. Needs the
// context length and the scores induction and echo. The paper's compensation token (the mean of
// what was dropped) belongs to the run-time method.
class RazorAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "razor"; }
  [[nodiscard]] KeptBy kept_by() const override { return KeptBy::kPosition; }
  [[nodiscard]] AllocatorNeeds needs() const override {
    return {.copy_scores = true, .context_length = true};
  }

 protected:
  [[nodiscard]] int64_t own_floor(const AllocatorInput& input) const override;
  void check(const AllocatorInput& input) const override;
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
  void add_notes(const AllocatorInput& input, Allocation& allocation) const override;
};

}  // namespace headscope::analysis
