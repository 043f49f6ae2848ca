// The only door to the kernels: one function per op on torch tensors. Each checks its arguments
// (std::invalid_argument names the tensor, what was expected and what was found) and runs the CPU
// or the CUDA version, or the ATen composition where that is the fastest.
//
// Fixed words for shapes: B sequences, Hq query heads, Hkv KV heads (Hq = Hkv * group size; query
// head h reads KV head h / group size), n query rows, S keys, d head_dim. float32, bfloat16 or
// float16 in; results that are scores or log-sum-exps are float32. No gradients are recorded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace headscope::kernels {

// ---- attention
// -----------------------------------------------------------------------------------

struct AttentionResult {
  at::Tensor z;    // [B, Hq, n, d], dtype of q
  at::Tensor lse;  // [B, Hq, n] float32: natural log of the sum of exp(scale * q.k)
};

// Causal attention of the last n of S positions over all S keys (lower-right aligned). Needs memory
// of order n, never n * S. `attention_window` > 0: a query sees only that many most recent keys,
// itself included.
[[nodiscard]] AttentionResult causal_attention(const at::Tensor& q,  // [B, Hq, n, d]
                                               const at::Tensor& k,  // [B, Hkv, S, d]
                                               const at::Tensor& v,  // [B, Hkv, S, d]
                                               double scale,
                                               int64_t attention_window = 0);

// Every row sees every key: queries that all come after what is held, such as many questions after
// one context.
[[nodiscard]] AttentionResult full_attention(const at::Tensor& q,  // [B, Hq, n, d]
                                             const at::Tensor& k,  // [B, Hkv, S, d], S >= 1
                                             const at::Tensor& v,  // [B, Hkv, S, d]
                                             double scale);

// Keys and values of one layer with a different length per (sequence, KV head). Row r = b * Hkv + h
// owns slots [offset[r], offset[r] + length[r]) of the flat storage, positions ascending.
struct RaggedKv {
  at::Tensor keys;              // [num_slots, d]
  at::Tensor values;            // [num_slots, d]
  std::vector<int64_t> offset;  // [B * Hkv]
  std::vector<int64_t> length;  // [B * Hkv]
};

// Attention of n new tokens whose keys are already the last n entries of every row; query i sees
// all but the last n - 1 - i entries. n = 1 is a decode step (split over keys, GQA rows packed).
[[nodiscard]] AttentionResult ragged_attention(const at::Tensor& q,  // [B, Hq, n, d]
                                               const RaggedKv& kv,
                                               double scale);

// ---- scoring
// -------------------------------------------------------------------------------------

enum class WindowReduction { kSum, kMean, kSquare };  // over the window's query rows
enum class WindowPooling {
  kNone,
  kAverage,
  kMax
};  // over key positions; zero-padded, stride 1,
    // padding counted (as avg_pool1d's default)
struct WindowImportanceOptions {
  WindowReduction reduction = WindowReduction::kSum;
  WindowPooling pooling = WindowPooling::kNone;
  int64_t pooling_kernel = 1;  // odd
};

// How much the last w query rows look at each key before the window. Softmax runs over all S keys
// with the causal mask inside the window; then reduction over rows, then pooling over the first
// S - w positions. `heads` selects query heads (empty = all, in order).
// Result [B, num_heads, S - w] float32. (SnapKV 2404.14469; CompressKV 2508.02401 section 3.)
[[nodiscard]] at::Tensor window_importance(const at::Tensor& q,  // [B, Hq, w, d]: last w rows
                                           const at::Tensor& k,  // [B, Hkv, S, d]
                                           double scale,
                                           std::span<const int64_t> heads,
                                           const WindowImportanceOptions& options,
                                           const std::optional<at::Tensor>& lse = std::nullopt);

// Attention mass of each query row on half-open key ranges. Row i sits at absolute position
// first_position + i and sees keys 0..first_position + i (k may hold more keys than the last row
// sees). With `lse` (of exactly that attention) only the spans' keys are read.
// Result [Hq, n, num_spans] float32 in 0..1.
struct KeySpan {
  int64_t begin = 0;
  int64_t end = 0;
};
[[nodiscard]] at::Tensor span_attention(const at::Tensor& q,  // [Hq, n, d]
                                        const at::Tensor& k,  // [Hkv, S, d]
                                        double scale,
                                        int64_t first_position,
                                        std::span<const KeySpan> spans,
                                        const std::optional<at::Tensor>& lse = std::nullopt);

// The `top_n` most attended keys of each row, best first (ties: lower position first); rows as in
// span_attention. Where a row sees fewer keys, position -1 and weight 0 fill up.
struct TopAttended {
  at::Tensor weight;    // [Hq, n, top_n] float32
  at::Tensor position;  // [Hq, n, top_n] int64
};
[[nodiscard]] TopAttended top_attended(const at::Tensor& q,  // [Hq, n, d]
                                       const at::Tensor& k,  // [Hkv, S, d]
                                       double scale,
                                       int64_t first_position,
                                       int64_t top_n,
                                       const std::optional<at::Tensor>& lse = std::nullopt);

// How much all of the given rows together look at each key: the column sums of their attention.
// Rows are the last n of S positions, as in causal_attention; `lse` of exactly that attention. Sums
// over chunks of rows add up to the sum over all rows, which needs work of order S * S.
// Result [B, Hq, S] float32. (H2O 2306.14048: accumulated attention.)
[[nodiscard]] at::Tensor attention_received(const at::Tensor& q,    // [B, Hq, n, d]
                                            const at::Tensor& k,    // [B, Hkv, S, d]
                                            const at::Tensor& lse,  // [B, Hq, n] float32
                                            double scale,
                                            int64_t attention_window = 0);

// ---- eviction -----------------------------------------------------------------------------------

// For each row the positions of its `count[r]` largest scores (clamped to n), ascending by
// position. Ties at the cut go to the lower position; NaN counts as the smallest. Result: one int64
// CPU or device tensor per row (device of `scores`).
[[nodiscard]] std::vector<at::Tensor> select_retained(
    const at::Tensor& scores,  // [rows, n] float32
    std::span<const int64_t> count);

// Copies the rows of `source` at `positions` (ascending int64) to `target` from row `target_offset`
// on. Safe in place when target is source and target_offset <= positions[0].
void compact_kv(const at::Tensor& source,     // [S, d]
                const at::Tensor& positions,  // [m] int64
                const at::Tensor& target,     // [capacity, d]
                int64_t target_offset);

// The same for all rows of a layer in one call: row r = b * Hkv + h keeps positions[r] and goes to
// target from row target_offset[r] on. Not in place.
void compact_layer_kv(const at::Tensor& source,               // [B, Hkv, S, d]
                      std::span<const at::Tensor> positions,  // B * Hkv of [m_r] int64
                      const at::Tensor& target,               // [capacity, d]
                      std::span<const int64_t> target_offset);

// Attention outputs at several budgets from one read of the ranked keys: the keys in
// order[h][0 .. cuts[b]) plus every key from `tail_begin` on (causally) are kept at budget b.
// Rows as in span_attention, first_position >= tail_begin. cuts ascend. One partial softmax state
// per band between two cuts, merged prefix by prefix. Result [num_cuts, Hq, n, d] float32.
[[nodiscard]] at::Tensor error_curve(const at::Tensor& q,  // [Hq, n, d]
                                     const at::Tensor& k,  // [Hkv, S, d]
                                     const at::Tensor& v,  // [Hkv, S, d]
                                     double scale,
                                     int64_t first_position,
                                     const at::Tensor& order,  // [Hkv, m] int64, all < tail_begin
                                     std::span<const int64_t> cuts,
                                     int64_t tail_begin);

}  // namespace headscope::kernels
