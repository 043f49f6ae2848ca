// HeadKV (arXiv 2410.19258): SnapKV's selection per head, under head budgets shared out by the
// heads' scores (analysis/headkv_allocator.h).
//
// Where it differs from the paper's program: budgets and caches are per KV head, where the program
// repeats the keys for every query head and holds G times the bytes; the group's votes are averaged
// (some published harnesses average the heads k, k + K, … instead).
#include "runtime/policies/policies.h"

namespace headscope::runtime {

EvictionPolicy headkv_policy() {
  EvictionPolicy policy = snapkv_policy();
  policy.name = "headkv";
  policy.summary = "snapkv, with head budgets by head score (HeadKV)";
  policy.allocator = "headkv";
  policy.published = {.observation_window = 8, .pooling = Pooling::kMax, .pooling_kernel = 7};
  return policy;
}

}  // namespace headscope::runtime
