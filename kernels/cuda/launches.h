// Between the launcher, compiled as C++, and the kernels, compiled by nvcc: each queues one kernel
// on the stream and returns what the CUDA runtime says of it.
#pragma once

#include <driver_types.h>

#include "kernels/cuda/attention_task.h"
#include "kernels/cuda/compact_task.h"
#include "kernels/cuda/importance_task.h"
#include "kernels/cuda/select_task.h"
#include "kernels/cuda/top_task.h"

namespace headscope::kernels {

cudaError_t launch_select(const SelectTask& task, cudaStream_t stream);
cudaError_t launch_compact(const CompactTask& task, cudaStream_t stream);
cudaError_t launch_importance(const ImportanceTask& task, cudaStream_t stream);
cudaError_t launch_pool(const PoolTask& task, cudaStream_t stream);
cudaError_t launch_attention(const AttentionTask& task, cudaStream_t stream);
cudaError_t launch_merge(const MergeTask& task, cudaStream_t stream);
cudaError_t launch_mass(const MassTask& task, cudaStream_t stream);
cudaError_t launch_logits(const LogitTask& task, cudaStream_t stream);
cudaError_t launch_rank(const RankTask& task, cudaStream_t stream);

}  // namespace headscope::kernels
