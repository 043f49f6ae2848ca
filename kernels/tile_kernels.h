// The hot loops of the CPU kernels: small dense pieces of attention over a tile of keys, compiled
// once per instruction set (tile_kernels_*.cpp, all from tile_kernels_body.h). They know no
// tensors.
//
// Shapes: R query rows, T keys of a tile, d head_dim. Query rows are float32, contiguous [R, d] and
// already multiplied by scale * log2(e): all logits and log-sum-exps here are base 2.
#pragma once

#include <cstdint>

namespace headscope::kernels {

enum class KvType { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2 };
inline constexpr int kNumKvTypes = 3;

// Tiles hold at most this many keys; a multiple of every panel width.
inline constexpr int64_t kTileKeys = 128;

// Keys or values of one KV head as they lie in memory.
struct KvRows {
  const void* data = nullptr;
  int64_t stride = 0;              // elements between rows; unit stride inside a row
  const int64_t* index = nullptr;  // row j is data row index[j]; null: row j itself
};

struct TileKernels {
  // Rows of `kv` from `begin` on as float32 [count, d].
  void (*widen[kNumKvTypes])(const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out);

  // Keys transposed to panels: out[p][c][lane] = key(p * panel_width + lane)[c], zero behind
  // `count`. Room: round_up(count, panel_width) * d.
  int64_t panel_width;
  void (*pack)(const float* keys, int64_t stride, int64_t count, int64_t d, float* out);

  // out[r * ld + j] = q_r . k_j from panels. Columns up to the next multiple of panel_width are
  // written as well, so ld must leave room for them.
  void (*logits)(const float* q,
                 int64_t rows,
                 int64_t d,
                 const float* panels,
                 int64_t count,
                 float* out,
                 int64_t ld);

  // The same without packing: the better choice for few rows. `kv` must have no index.
  void (*dot_logits[kNumKvTypes])(const float* q,
                                  int64_t rows,
                                  int64_t d,
                                  const KvRows& kv,
                                  int64_t begin,
                                  int64_t count,
                                  float* out,
                                  int64_t ld);

  // out[j] = sum over rows of exp2(q_r . k_j - lse[r]), or of its square.
  void (*window_scores)(const float* q,
                        int64_t rows,
                        int64_t d,
                        const float* panels,
                        int64_t count,
                        const float* lse,
                        bool square,
                        float* out);

  // One step of the online softmax. Row r sees its first visible[r] columns (null: all `count`);
  // a logit of -inf is not seen either. A state begins with max = -inf, sum = 0.
  // Logits become exp2(logit - max[r]), 0 where not seen; max and sum are brought up to date;
  // rescale[r] is what older sums were multiplied with.
  void (*softmax_step)(float* logits,
                       int64_t ld,
                       int64_t rows,
                       int64_t count,
                       const int64_t* visible,
                       float* max,
                       float* sum,
                       float* rescale);

  // out[r] += sum over the visible columns of exp2(logit - lse[r]).
  void (*add_mass)(const float* logits,
                   int64_t ld,
                   int64_t rows,
                   int64_t count,
                   const int64_t* visible,
                   const float* lse,
                   float* out,
                   int64_t out_stride);

  // out[r] = out[r] * rescale[r] + sum_j weight[r][j] * v_j, out [R, d] contiguous. `kv` must have
  // no index.
  void (*add_values[kNumKvTypes])(const float* weight,
                                  int64_t ld,
                                  int64_t rows,
                                  int64_t d,
                                  const KvRows& kv,
                                  int64_t begin,
                                  int64_t count,
                                  const float* rescale,
                                  float* out);

  // Largest of count values (count >= 1).
  float (*largest)(const float* values, int64_t count);

  // Positions begin.. of the values >= threshold, as (value, position) pairs in order; NaN never
  // passes. Returns how many; room for `count` pairs.
  int64_t (*collect_at_least)(const float* values,
                              int64_t begin,
                              int64_t count,
                              float threshold,
                              float* out_value,
                              int64_t* out_position);
};

// The copy for instruction_set().
[[nodiscard]] const TileKernels& tile_kernels();

[[nodiscard]] const TileKernels& tile_kernels_portable();
[[nodiscard]] const TileKernels& tile_kernels_avx2();
[[nodiscard]] const TileKernels& tile_kernels_avx512();

}  // namespace headscope::kernels
