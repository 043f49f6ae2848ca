// Full cache: nothing is evicted. The reference that every other policy is held against.
#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

EvictionPolicy full_policy() {
  return {.name = "full",
          .summary = "keeps everything",
          .evicts = false,
          .judges_by_window = false,
          .needs_selector_heads = false,
          .defaults = {.observation_window = 0, .pooling = Pooling::kNone, .pooling_kernel = 1},
          .retain = retain_all};
}

}  // namespace headscope::runtime
