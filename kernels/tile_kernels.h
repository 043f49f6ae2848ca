// The hot loops of the CPU kernels: small dense pieces of attention over a tile of keys, compiled
// once per instruction set (tile_kernels_*.cpp, all from tile_kernels_body.h). They know no
// tensors.
//
// Shapes: R query rows, T keys of a tile, d head_dim. Query rows are float32, contiguous [R, d].
// Multiplied by scale * log2(e), before or with their products: all logits and log-sum-exps here
// are base 2.
#pragma once

#include <cstdint>

namespace headscope::kernels {

enum class KvType { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2 };
inline constexpr int kNumKvTypes = 3;
constexpr int64_t bytes_of(KvType type) {
  return type == KvType::kFloat32 ? 4 : 2;
}

// Tiles hold at most this many keys; a multiple of every group of keys that a kernel handles.
inline constexpr int64_t kTileKeys = 128;

// collect_at_least() may write this many numbers behind those that it found.
inline constexpr int64_t kCollectSlack = 16;

inline constexpr int64_t kCacheLineBytes = 64;
inline constexpr int64_t kStreamAlignment = kCacheLineBytes;

// Keys or values of one KV head as they lie in memory.
struct KvRows {
  const void* data = nullptr;
  int64_t stride = 0;              // elements between rows; unit stride inside a row
  const int64_t* index = nullptr;  // row j is data row index[j]; null: row j itself
};

// A tile of keys, and of values where they are read, for rows that lie in the lanes of registers.
struct LaneTile {
  const void* keys = nullptr;  // [count, d], `key_stride` elements apart
  int64_t key_stride = 0;
  bool keys_from_memory = false;  // else they are a copy that is in the caches
  const float* values = nullptr;  // as pack_values() writes them
  int64_t count = 0;              // <= kTileKeys
  // Row r sees keys first[r] <= j < end[r] of the tile, within [0, count]; null: no bound.
  const int64_t* first = nullptr;
  const int64_t* end = nullptr;
};

// One tile of attention for packed rows: logits factor * q_r . k_j, softmax_step() and, where `out`
// is not null, add_values(). `out` is laid out as pack_rows() lays out float32 rows; max and sum as
// in softmax_step().
using AttendLanes = void (*)(const void* packed,
                             int64_t rows,
                             int64_t d,
                             float factor,
                             const LaneTile& tile,
                             float* max,
                             float* sum,
                             float* out);

// For even d. Query rows here hold bfloat16 values, so that rounding them changes nothing.
struct BFloat16Products {
  void (*pack_rows)(const float* q, int64_t rows, int64_t d, void* out);  // room as for float32
  // As row_logits of TileKernels, for bfloat16 keys.
  void (*row_logits)(const void* packed,
                     int64_t rows,
                     int64_t d,
                     float factor,
                     const void* keys,
                     int64_t stride,
                     int64_t count,
                     float* out,
                     int64_t ld);
  // For few rows: q contiguous bfloat16 [rows, d].
  void (*round_rows)(const float* q, int64_t rows, int64_t d, void* out);
  void (*dot_logits)(const void* q,
                     int64_t rows,
                     int64_t d,
                     float factor,
                     const void* keys,
                     int64_t stride,
                     int64_t count,
                     float* out,
                     int64_t ld);
  // As add_values of TileKernels for bfloat16 values, with the weights rounded to bfloat16 as well;
  // null where that gains nothing. count <= kTileKeys.
  void (*add_values)(const float* weight,
                     int64_t ld,
                     int64_t rows,
                     int64_t d,
                     const KvRows& kv,
                     int64_t begin,
                     int64_t count,
                     const float* rescale,
                     float* out);
  // Null where row_logits and add_values gain more.
  AttendLanes attend_lanes;
};

struct TileKernels {
  // Rows of `kv` from `begin` on as float32 [count, d].
  void (*widen[kNumKvTypes])(const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out);

  // Rows are packed to multiples of this many.
  int64_t lane_width;
  // Query rows as row_logits takes them. Room: round_up(rows, lane_width) * d.
  void (*pack_rows)(const float* q, int64_t rows, int64_t d, float* out);
  // The way back: rows [rows, d] from what pack_rows() wrote.
  void (*unpack_rows)(const float* packed, int64_t rows, int64_t d, float* out);
  // For float32 keys.
  AttendLanes attend_lanes;
  // Values of a tile as attend_lanes takes them. Room: round_up(d, lane_width) * kTileKeys.
  void (*pack_values[kNumKvTypes])(
      const KvRows& kv, int64_t begin, int64_t count, int64_t d, float* out);

  // out[r * ld + j] = factor * q_r . k_j for float32 keys [count, d], `stride` elements apart. Rows
  // up to the next multiple of lane_width and columns up to the next multiple of 16 are written as
  // well, with anything.
  void (*row_logits)(const void* packed,
                     int64_t rows,
                     int64_t d,
                     float factor,
                     const void* keys,
                     int64_t stride,
                     int64_t count,
                     float* out,
                     int64_t ld);

  // The same with factor 1 from rows as they are: the better choice for few of them. `kv` must have
  // no index.
  void (*dot_logits[kNumKvTypes])(const float* q,
                                  int64_t rows,
                                  int64_t d,
                                  const KvRows& kv,
                                  int64_t begin,
                                  int64_t count,
                                  float* out,
                                  int64_t ld);

  // Products of bfloat16 with bfloat16, accumulated in float32; null where the processor has none.
  const BFloat16Products* bfloat16;

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

  // out[j] = sum over rows of exp2(logit - lse[r]), or of its square.
  void (*column_mass)(const float* logits,
                      int64_t ld,
                      int64_t rows,
                      int64_t count,
                      const float* lse,
                      bool square,
                      float* out);

  // out[j] = sum over rows of factor[r * factor_stride] * weight, or of its square.
  void (*column_sums)(const float* weight,
                      int64_t ld,
                      int64_t rows,
                      int64_t count,
                      const float* factor,
                      int64_t factor_stride,
                      bool square,
                      float* out);

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

  // Target row i = source row position[i], `row_bytes` each; strides in bytes. `stream`: past the
  // caches, for targets aligned to kStreamAlignment whose rows are a multiple of it.
  void (*copy_rows)(const char* source,
                    int64_t source_stride,
                    const int64_t* position,
                    int64_t count,
                    int64_t row_bytes,
                    bool stream,
                    char* target,
                    int64_t target_stride);

  // Largest of count values (count >= 1).
  float (*largest)(const float* values, int64_t count);

  // Positions in [begin, end) of the values >= threshold, in order; NaN never passes. Returns how
  // many; room for end - begin + kCollectSlack.
  int64_t (*collect_at_least)(
      const float* values, int64_t begin, int64_t end, float threshold, int32_t* out_position);
};

// The copy for instruction_set().
[[nodiscard]] const TileKernels& tile_kernels();

[[nodiscard]] const TileKernels& tile_kernels_portable();
[[nodiscard]] const TileKernels& tile_kernels_avx2();
[[nodiscard]] const TileKernels& tile_kernels_avx512();
[[nodiscard]] const TileKernels& tile_kernels_avx512_bf16();
[[nodiscard]] const TileKernels& tile_kernels_amx();

}  // namespace headscope::kernels
