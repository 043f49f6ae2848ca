// How the attention kernels find rows of queries and keys, and how they lay them out in shared
// memory. Strides are in elements; rows have unit stride.
#pragma once

#include <cstdint>

#include "kernels/cuda/value_type.h"

namespace headscope::kernels {

inline constexpr int kMostHeadDim = 256;
// Products of rows take this many dimensions at a step; rows in shared memory are filled up with
// zeros to whole steps.
inline constexpr int kDepthStep = 16;

// [B, H, rows, d] of any strides; a tensor without batch or heads has stride 0 there.
struct RowsOf {
  const void* data;
  int64_t batch, head, row;
};

struct TileShape {
  ValueType type;
  int d;       // numbers of a row
  int depth;   // d rounded up to kDepthStep
  int stride;  // of a row in shared memory; its odd number of 16-byte pieces keeps banks apart
  bool wide;   // rows come in pieces of 16 bytes, else 8
};

}  // namespace headscope::kernels
