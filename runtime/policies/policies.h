// The built-in eviction policies, one per file. A new one is declared here, defined in a file of
// its own and listed in policy_registry.cpp.
#pragma once

#include "runtime/eviction_policy.h"

namespace headscope::runtime {

[[nodiscard]] EvictionPolicy full_policy();
[[nodiscard]] EvictionPolicy streaming_policy();
[[nodiscard]] EvictionPolicy snapkv_policy();
[[nodiscard]] EvictionPolicy compresskv_policy();

}  // namespace headscope::runtime
