// Steps that the host sides of the attention kernels share: how tensors are read, how keys are cut
// into segments, and the launches over them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/launcher.h"

namespace headscope::kernels {

[[nodiscard]] ValueType value_type(const at::Tensor& t);

// Whether the kernels take rows of this many numbers: multiples of 4 from 4 to 256.
[[nodiscard]] bool takes_head_dim(int64_t d);

// Packed rows of a launch, 64 to a block: as many blocks as a grid's second dimension takes.
inline constexpr int64_t kMostPackedRows = int64_t{64} * 65535;

// The tensor itself where its rows have unit stride and start at multiples of four numbers, as the
// kernels read them; else a copy.
[[nodiscard]] at::Tensor readable_rows(const at::Tensor& t);

// Of readable_rows() tensors [B, H, rows, d], or [H, rows, d], or [rows, d].
[[nodiscard]] RowsOf rows_of(const at::Tensor& t);
[[nodiscard]] TileShape tile_shape(std::span<const at::Tensor> tensors);

// Keys in shared memory for kernels whose warps have kWarpKeys keys each.
[[nodiscard]] int warp_tile_keys(const TileShape& shape);

// Keys of one part, so that the parts of `total_keys` (over all KV rows) fill the device.
[[nodiscard]] int64_t keys_per_part(const KernelLauncher& launcher,
                                    int64_t total_keys,
                                    int64_t packed_rows);

// Cuts [begin, end) into segments of at most `keys` keys.
void add_segments(const Segment& whole, int64_t keys, std::vector<Segment>& segments);

// The softmax states of all packed rows over every segment.
struct Parts {
  at::Tensor max, sum;  // [segments, packed_rows] float32
  at::Tensor o;         // [segments, packed_rows, d] float32; undefined without values
};
// `task` says everything but the segments and where the parts go.
[[nodiscard]] Parts run_segments(const KernelLauncher& launcher,
                                 AttentionTask task,
                                 std::span<const Segment> segments,
                                 const at::TensorOptions& options);

// Queries, keys and, where given, values: everything of an AttentionTask but order and segments.
// `query_shape` is [B, Hq, n, d] or [Hq, n, d].
[[nodiscard]] AttentionTask attention_task(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const std::optional<at::Tensor>& v,
                                           int64_t num_kv_heads,
                                           double scale);

// Log-sum-exp (natural) of every row of q [B, Hq, n, d] over the keys it sees of k [B, Hkv, S, d]:
// row i sits at first_position + i. Only heads of the asked KV heads (ascending) are filled in.
[[nodiscard]] at::Tensor row_lse_cuda(const KernelLauncher& launcher,
                                      const at::Tensor& q,
                                      const at::Tensor& k,
                                      double scale,
                                      int64_t first_position,
                                      std::span<const int64_t> kv_heads);

}  // namespace headscope::kernels
