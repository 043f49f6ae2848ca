// RazorAttention (arXiv 2407.15891): retrieval heads keep everything; the others the first 4
// tokens, the most recent ones, and one compensation token for all that they drop
// (runtime/compensation.h). Which heads retrieve is the plan's business
// (analysis/razor_allocator.h: echo and induction scores).
//
// Where it differs from the paper: the compensation token is paid for out of the head's budget, so
// that bytes stay equal; its own buffer of max(4000, n / 5) tokens is a budget like any other. The
// paper gives every non-retrieval head of every layer a token; layers with a sliding window have
// none here, since what they drop is soon out of sight anyway.
#include <vector>

#include "runtime/compensation.h"
#include "runtime/policies/policies.h"

namespace headscope::runtime {

namespace {

RetainedPositions retain_razor(const LayerEvidence& evidence) {
  const int64_t num_keys = evidence.k.size(2);
  const EvictionPolicy policy = razor_policy();
  std::vector<int64_t> budgets(evidence.budget_tokens.begin(), evidence.budget_tokens.end());
  if (is_compensated(policy, evidence)) {
    for (int64_t& budget : budgets) {
      if (budget > 0 && budget < num_keys) --budget;
    }
  }
  LayerEvidence beside_token = evidence;
  beside_token.budget_tokens = budgets;
  return streaming_policy().retain(beside_token);
}

}  // namespace

EvictionPolicy razor_policy() {
  return {.name = "razor",
          .summary = "full retrieval heads, else sinks, recent tokens and their stand-in (Razor)",
          .compensates = true,
          .allocator = "razor",
          .defaults = by_position(/*num_sink_tokens=*/4),
          .published = by_position(/*num_sink_tokens=*/4),
          .retain = retain_razor};
}

}  // namespace headscope::runtime
