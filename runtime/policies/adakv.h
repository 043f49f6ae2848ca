// Ada-KV's head budgets, which adacompresskv uses as well.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "runtime/eviction_policy.h"
#include "runtime/policies/shared_budget.h"

namespace headscope::runtime {

// Keys that every row b * Hkv + h keeps beside the recent ones: what the head has among the best
// keys of all heads of its layer, mixed with an equal share (MethodQuirks::head_floor).
// `ranking` [B, Hkv, S - rows], sinks not yet raised.
[[nodiscard]] std::vector<int64_t> ada_head_counts(const LayerEvidence& evidence,
                                                   const at::Tensor& ranking,
                                                   const SharedBudget& shared);

}  // namespace headscope::runtime
