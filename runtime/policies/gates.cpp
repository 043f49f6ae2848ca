// Gates (DuoAttention, arXiv 2410.10819; RLKV, arXiv 2510.08525): heads whose budget covers the
// prompt keep everything, the others the first num_sink_tokens tokens (64, RLKV: 16) and the most
// recent ones of their budget. Which heads are which is the plan's business
// (analysis/gates_allocator.h).
//
// Where it differs from the papers: both let streaming heads stream from the first token on; here
// the prompt is read in full and eviction happens once, after it.
#include "runtime/policies/policies.h"

namespace headscope::runtime {

EvictionPolicy gates_policy() {
  EvictionPolicy policy = streaming_policy();
  policy.name = "gates";
  policy.summary = "full heads beside heads of sinks and recent tokens, by a plan (DuoAttention)";
  policy.allocator = "gates";
  policy.defaults = by_position(/*num_sink_tokens=*/64);
  policy.published = policy.defaults;
  return policy;
}

}  // namespace headscope::runtime
