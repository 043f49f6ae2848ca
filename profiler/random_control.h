// The control of every eviction method: which tokens stay is drawn, everything else is equal.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/full_kv_cache.h"
#include "runtime/ragged_kv_cache.h"

namespace headscope::profiler {

// Every KV head keeps `budget_tokens` tokens: the most recent ones that window methods keep by
// default (8, at most half of the budget), and others drawn without repeats, anew for every layer,
// KV head and sequence. The same seed draws the same on every platform. budget_tokens >= 1.
[[nodiscard]] std::unique_ptr<runtime::RaggedKvCache> keep_random_tokens(
    const runtime::FullKvCache& full, int64_t budget_tokens, uint64_t seed);

}  // namespace headscope::profiler
