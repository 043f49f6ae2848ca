// Full cache: nothing is evicted. The reference that every other policy is held against.
#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

EvictionPolicy full_policy() {
  return {.name = "full",
          .summary = "keeps everything",
          .evicts = false,
          .defaults = by_position(/*num_sink_tokens=*/0),
          .published = by_position(/*num_sink_tokens=*/0),
          .retain = retain_all};
}

}  // namespace headscope::runtime
