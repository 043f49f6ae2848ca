// Between the launcher, compiled as C++, and the kernels, compiled by nvcc: each queues one kernel
// on the stream and returns what the CUDA runtime says of it.
#pragma once

#include <driver_types.h>

#include "kernels/cuda/compact_task.h"
#include "kernels/cuda/select_task.h"

namespace headscope::kernels {

cudaError_t launch_select(const SelectTask& task, cudaStream_t stream);
cudaError_t launch_compact(const CompactTask& task, cudaStream_t stream);

}  // namespace headscope::kernels
