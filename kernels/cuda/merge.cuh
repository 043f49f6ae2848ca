// Merging of softmax states: a state over the union of two sets of keys is the sum of both, each
// brought to the larger of the two largest logits. Exact, and in the order of the parts, so that
// results do not depend on timing.
#pragma once

#include "kernels/cuda/attention_task.h"

namespace headscope::kernels {

inline constexpr float kLnOf2 = 0.693147180559945309f;

// The running state of one row; o for one dimension.
struct MergedState {
  float max = -INFINITY;
  float sum = 0.0f;
};

// How much the old state and the new part count in the merged one.
struct MergeWeights {
  float old_state, part;
};
__device__ inline MergeWeights merge_part(float max, float sum, MergedState& state) {
  const float largest = fmaxf(state.max, max);
  const float shift = largest == -INFINITY ? 0.0f : largest;
  const MergeWeights weights{exp2f(state.max - shift), exp2f(max - shift)};
  state.sum = state.sum * weights.old_state + sum * weights.part;
  state.max = largest;
  return weights;
}

// One packed row of one KV row; each thread has dimensions thread and thread + 128.
template <class T>
__device__ inline void merge_block(const MergeTask& task) {
  const int row = static_cast<int>(blockIdx.x), kv_row = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.x);
  const int begin = task.first[kv_row], end = task.first[kv_row + 1];
  T* out = static_cast<T*>(task.out);
  MergedState state;
  float o[2] = {0.0f, 0.0f};
  int done = begin;
  for (int output = 0; output < task.num_outputs; ++output) {
    const int wanted = begin + task.parts[output];
    for (; done < end && done < wanted; ++done) {
      const int64_t part = static_cast<int64_t>(done) * task.packed_rows + row;
      const MergeWeights weights = merge_part(task.max[part], task.sum[part], state);
      for (int i = 0; i < 2; ++i) {
        const int column = thread + i * kMergeThreads;
        if (column < task.d) {
          o[i] = o[i] * weights.old_state + task.o[part * task.d + column] * weights.part;
        }
      }
    }
    const int64_t at =
        (static_cast<int64_t>(output) * task.kv_rows + kv_row) * task.packed_rows + row;
    for (int i = 0; i < 2; ++i) {
      const int column = thread + i * kMergeThreads;
      if (column < task.d) out[at * task.d + column] = T(o[i] / state.sum);
    }
  }
  if (task.lse != nullptr && thread == 0) {
    task.lse[static_cast<int64_t>(kv_row) * task.packed_rows + row] =
        (state.max + log2f(state.sum)) * kLnOf2;
  }
}

// One output number from each thread: the log-sum-exp of a row, or its mass on a span.
__device__ inline void mass_block(const MassTask& task) {
  const int index = static_cast<int>(blockIdx.x) * kMassThreads + static_cast<int>(threadIdx.x);
  const int outputs = task.lse == nullptr ? 1 : task.num_spans;
  if (index >= task.kv_rows * task.packed_rows * outputs) return;
  const int span = index % outputs, row = index / outputs % task.packed_rows;
  const int r = index / outputs / task.packed_rows;
  const int begin = task.lse == nullptr ? 0 : task.span_begin[span];
  const int end = task.lse == nullptr ? task.num_parts : task.span_begin[span + 1];
  MergedState state;
  for (int i = begin; i < end; ++i) {
    const int64_t part = (static_cast<int64_t>(r) * task.num_parts + i) * task.packed_rows + row;
    merge_part(task.max[part], task.sum[part], state);
  }
  const int64_t to = static_cast<int64_t>(task.kv_row[r]) * task.packed_rows + row;
  if (task.lse == nullptr) {
    task.out[to] = (state.max + log2f(state.sum)) * kLnOf2;
  } else {
    const float lse2 = task.lse[to] / kLnOf2;
    task.out[to * task.out_stride + span] = state.sum * exp2f(state.max - lse2);
  }
}

}  // namespace headscope::kernels
