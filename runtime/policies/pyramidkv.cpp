// PyramidKV (arXiv 2406.02069): SnapKV's selection under layer budgets that fall from the first
// layer to the last in equal steps (analysis/pyramid_allocator.h).
//
// Where it differs from the paper's program: the budgets are exact to the token and follow every
// prompt's length, where the program fixes them by the first prompt it sees.
#include "runtime/policies/policies.h"

namespace headscope::runtime {

EvictionPolicy pyramidkv_policy() {
  EvictionPolicy policy = snapkv_policy();
  policy.name = "pyramidkv";
  policy.summary = "snapkv, with wide budgets in the first layers (PyramidKV)";
  policy.allocator = "pyramid";
  policy.published = {.observation_window = 8, .pooling = Pooling::kMax, .pooling_kernel = 7};
  return policy;
}

}  // namespace headscope::runtime
