// HeadCompressKV (arXiv 2606.24467, orthogonality tests): HeadKV's budgets per KV head
// (analysis/headkv_allocator.h), every head keeping a prefix of the layer's one ranking by semantic
// retrieval heads.
#include "runtime/policies/policies.h"

namespace headscope::runtime {

EvictionPolicy headcompresskv_policy() {
  EvictionPolicy policy = compresskv_policy();
  policy.name = "headcompresskv";
  policy.summary = "compresskv's ranking, with head budgets by head score";
  policy.allocator = "headkv";
  return policy;
}

}  // namespace headscope::runtime
