// Every op of kernels/ops.h: on the CPU against float64 (profiler/self_test_reference.h), on
// another device against its CPU twin, in every dtype, over all query-group sizes and several head
// dimensions.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "profiler/self_test.h"

namespace headscope::profiler {

// One check per op and dtype. Its value is the largest deviation found, its bound what rounding
// explains on that case (twice that between two devices, where both round); of several cases the
// one that comes nearest to its bound, or passes it by most.
[[nodiscard]] std::vector<SelfTestCheck> kernel_checks(at::Device device, const KernelDoor& door);

}  // namespace headscope::profiler
