// The built-in eviction policies, one per file. A new one is declared here, defined in a file of
// its own and listed in policy_registry.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "runtime/eviction_policy.h"

namespace headscope::runtime {

[[nodiscard]] EvictionPolicy full_policy();
[[nodiscard]] EvictionPolicy streaming_policy();
[[nodiscard]] EvictionPolicy snapkv_policy();
[[nodiscard]] EvictionPolicy pyramidkv_policy();
[[nodiscard]] EvictionPolicy h2o_policy();
[[nodiscard]] EvictionPolicy adakv_policy();
[[nodiscard]] EvictionPolicy cake_policy();
[[nodiscard]] EvictionPolicy compresskv_policy();
[[nodiscard]] EvictionPolicy headcompresskv_policy();
[[nodiscard]] EvictionPolicy adacompresskv_policy();
[[nodiscard]] EvictionPolicy headkv_policy();
[[nodiscard]] EvictionPolicy razor_policy();
[[nodiscard]] EvictionPolicy kvcompress_policy();
[[nodiscard]] EvictionPolicy gates_policy();

// Options of policies that keep by position alone.
[[nodiscard]] SelectionOptions by_position(int64_t num_sink_tokens);

// CompressKV's ranking, [B, 1, S - rows] for the layer or [B, Hkv, S - rows] by index_sets; what
// headcompresskv and adacompresskv take prefixes of.
[[nodiscard]] at::Tensor selector_ranking(const LayerEvidence& evidence, int64_t rows);

}  // namespace headscope::runtime
