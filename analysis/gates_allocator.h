// A gate per KV head: heads with a high gate keep everything, the others stream. DuoAttention
// (arXiv 2410.10819) learns such gates, RLKV (arXiv 2510.08525) ranks heads by them.
#pragma once

#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// Gates are clipped to 0..1; equal gates go by (layer, head), where DuoAttention adds unseeded
// noise. Streaming heads keep the sinks and num_recent_tokens; with the budget that is left as many
// heads keep everything as it pays for, the highest gates first, and what is left then lengthens
// the recent windows evenly. With a threshold the heads above it keep everything and the streaming
// heads share the rest. A budget below sinks + recent tokens halves them (the general floor rule),
// which is lint. Ranks choose their own full heads. Needs the context length.
class GatesAllocator final : public Allocator {
 public:
  [[nodiscard]] std::string name() const override { return "gates"; }
  [[nodiscard]] KeptBy kept_by() const override { return KeptBy::kPosition; }
  [[nodiscard]] AllocatorNeeds needs() const override {
    return {.gates = true, .context_length = true};
  }

 protected:
  [[nodiscard]] int64_t own_floor(const AllocatorInput& input) const override;
  void check(const AllocatorInput& input) const override;
  [[nodiscard]] std::vector<int64_t> share_out(const ShareProblem& problem) const override;
  void add_notes(const AllocatorInput& input, Allocation& allocation) const override;
};

}  // namespace headscope::analysis
