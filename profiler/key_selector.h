// Who ranks the keys of a layer when a cache is cut to a budget: the query heads whose attention
// from the observation window is averaged, once for the whole layer or once per KV head.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::profiler {

struct KeySelector {
  std::string name;  // under which its error curves are stored
  // judges[layer][ranking]: query heads whose window attention is averaged into that ranking. One
  // ranking is shared by all KV heads of the layer, else there is one per KV head.
  std::vector<std::vector<std::vector<int64_t>>> judges;
  // The eviction method of the runtime that ranks keys in this way, empty where there is none.
  std::string runtime_method;

  // [num_layers][k], as a plan of `runtime_method` carries them; empty where it needs none.
  [[nodiscard]] std::vector<std::vector<int64_t>> plan_heads() const;
};

struct KeySelectorOptions {
  int64_t layer_heads = 4;  // 1..num_query_heads: best heads of a layer, of SCORE
  int64_t group_heads = 1;  // 1..query group size: best heads of a group, of SCORE-head
};

// The selector that `wanted` names:
//   SCORE       the best `layer_heads` query heads of the layer by that score rank the keys of all
//               its KV heads, as the method compresskv does at run time; stored as "srh4"
//   window      every KV head's keys are ranked by all query heads of its own group, as the method
//               snapkv does; needs no score; stored as "window"
//   SCORE-head  every KV head's keys are ranked by the best `group_heads` query heads of its own
//               group by that score; stored as "srh-head1"
// InputError: the profile has no such score, no successful probe, or a count out of range.
[[nodiscard]] KeySelector make_key_selector(const std::string& wanted,
                                            const HeadProfile& profile,
                                            const KeySelectorOptions& options);

// The name under which curves of `wanted` are stored.
[[nodiscard]] std::string key_selector_name(const std::string& wanted,
                                            const KeySelectorOptions& options);

}  // namespace headscope::profiler
