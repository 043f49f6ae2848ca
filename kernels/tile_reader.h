// What every CPU kernel does with keys: walk over them in tiles, for a block of query rows, with
// one thread's buffers. Shapes and the base-2 convention are those of tile_kernels.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "kernels/tile_kernels.h"

namespace headscope::kernels {

// Query rows that one task handles at once where it reads logits(): enough to amortise the packing
// of a key tile, few enough for their logits to stay in the second-level cache.
inline constexpr int64_t kBlockRows = 96;

// Multiplies q.k to give base-2 logits.
[[nodiscard]] float base2_scale(double scale);
// Base-2 log-sum-exp <-> natural.
inline constexpr float kLog2E = 1.44269504088896340736f;
inline constexpr float kLn2 = 0.693147180559945309417f;

[[nodiscard]] KvType kv_type(const at::Tensor& t);

// The rows of one KV head: t is [.., S, d] with unit stride along d, `offset` in elements.
[[nodiscard]] KvRows kv_rows(const at::Tensor& t, int64_t offset);

// t itself where its last stride is 1, else a contiguous copy. Caches are strided views [Hkv, S, d]
// with a capacity behind S: those are never copied.
[[nodiscard]] at::Tensor with_unit_stride(const at::Tensor& t);

// q as float32, contiguous.
[[nodiscard]] at::Tensor float_queries(const at::Tensor& q);

// Online-softmax state of a block of rows.
struct SoftmaxState {
  std::vector<float> max;  // [rows], base 2
  std::vector<float> sum;  // [rows]
  std::vector<float> o;    // [rows, d], sum-weighted; empty where values are not read

  void reset(int64_t rows, int64_t value_dim);
};

// Which keys the rows of a block may see: key j for row r where first[r] <= j < end[r]. Null
// pointers: no bound on that side.
struct KeyBounds {
  const int64_t* first = nullptr;
  const int64_t* end = nullptr;
};

// Rows that a block of logits has room for.
[[nodiscard]] int64_t padded_rows(int64_t rows);

// What softmax weights are when they meet the values: float32, or rounded to the values' dtype
// where the processor multiplies that faster, as flash attention does. The log-sum-exp is not
// concerned.
enum class SoftmaxWeights { kExact, kMayBeRounded };

// Keys whose weights are summed in one run of float32 additions; sums of runs are added up. The
// rounding error of a run grows with its length: a million keys in one leave four of seven digits.
inline constexpr int64_t kRunKeys = int64_t{1} << 14;
static_assert(kRunKeys % kTileKeys == 0);

// Scratch memory on the boundaries of cache lines. Not set to zero: for a few short spans that
// would be the longest part of the work.
class AlignedFloats {
 public:
  // Room for at least `count` numbers; what was there is lost where it grows.
  float* reserve(int64_t count) {
    if (count > size_) {
      data_.reset(static_cast<float*>(::operator new[](static_cast<size_t>(count) * sizeof(float),
                                                       std::align_val_t{kCacheLineBytes})));
      size_ = count;
    }
    return data_.get();
  }
  [[nodiscard]] float* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{kCacheLineBytes}); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

class TileReader {
 public:
  static constexpr int64_t kLd = kTileKeys;  // row stride of logits()

  // For blocks of up to max_rows rows against keys of one dtype.
  TileReader(int64_t d,
             KvType type,
             int64_t max_rows = kBlockRows,
             SoftmaxWeights weights = SoftmaxWeights::kExact);

  // Rows from which attend() gains nothing more: keys and values are read, and turned to what the
  // kernels take, once per block.
  [[nodiscard]] static int64_t most_rows(int64_t d, KvType type);

  // The block of rows that the next calls are about: float32 [rows, d], rows <= max_rows; they hold
  // numbers of the keys' dtype. `factor` multiplies q.k. The rows are copied.
  void set_rows(const float* q, int64_t rows, float factor);
  [[nodiscard]] int64_t num_rows() const { return rows_; }

  // Logits of the block against keys [begin, begin + count), count <= kTileKeys. Valid until the
  // next call.
  float* logits(const KvRows& keys, int64_t begin, int64_t count);
  // The same to other storage with row stride kLd and room for padded_rows(num_rows()) rows.
  void write_logits(const KvRows& keys, int64_t begin, int64_t count, float* out);

  // Adds keys [begin, end) to the block's state; `values` may be null (log-sum-exp only).
  void attend(const KvRows& keys,
              const KvRows* values,
              int64_t begin,
              int64_t end,
              const KeyBounds& bounds,
              SoftmaxState& state);

  // visible[r] = how many of the tile's `count` keys lie before end[r]; null where `end` is null or
  // cuts nothing off. Valid until the next call.
  const int64_t* visible(const int64_t* end, int64_t begin, int64_t count);

  [[nodiscard]] const TileKernels& kernels() const { return kernels_; }

 private:
  enum class Product { kDot, kRows, kBFloat16Dot, kBFloat16Rows };

  static Product product_for(int64_t rows, int64_t d, KvType type);
  // For products whose rows stay in the lanes of registers through a whole step; else null.
  static AttendLanes lane_kernel(Product product);

  // Rows as they lie in memory, without an index.
  struct PlainRows {
    const void* data;
    int64_t stride;  // elements
    bool is_copy;
  };

  // Rows [begin, begin + count) side by side, of the keys' dtype.
  KvRows gathered(const KvRows& rows, int64_t begin, int64_t count);
  // A tile's keys as product_ takes them where it is one for many rows.
  PlainRows product_keys(const KvRows& keys, int64_t begin, int64_t count);
  // hidden[r] = how many of the tile's `count` keys lie before first[r]; null where none does.
  const int64_t* hidden(const int64_t* first, int64_t begin, int64_t count);
  // attend() for at most kRunKeys keys.
  void attend_run(const KvRows& keys,
                  const KvRows* values,
                  int64_t begin,
                  int64_t end,
                  const KeyBounds& bounds,
                  SoftmaxState& state);
  void attend_in_lanes(AttendLanes kernel,
                       const KvRows& keys,
                       const KvRows* values,
                       int64_t begin,
                       int64_t end,
                       const KeyBounds& bounds,
                       SoftmaxState& state);
  // out = out * rescale_ + the block's weights at logits_ times the values.
  void add_values(const KvRows& values, int64_t begin, int64_t count, float* out);

  const TileKernels& kernels_;
  int64_t d_;
  KvType type_;
  SoftmaxWeights weights_;
  int64_t rows_ = 0;
  float factor_ = 1.0f;
  Product product_ = Product::kDot;
  AlignedFloats packed_;  // the block's rows as product_ takes them
  AlignedFloats logits_;
  AlignedFloats float_keys_, packed_values_;  // of a tile
  AlignedFloats lanes_;                       // the state's sums as the lane kernels take them
  SoftmaxState run_;                          // of one run, where there are several
  std::vector<char> gathered_;
  std::vector<float> rescale_;
  std::vector<int64_t> hidden_, visible_;
};

// Base-2 log-sum-exp of one row.
[[nodiscard]] float base2_lse(const SoftmaxState& state, size_t row);

// Joins the state of the same rows over other keys into `into`.
void merge_states(SoftmaxState& into, const SoftmaxState& other, int64_t rows, int64_t value_dim);

}  // namespace headscope::kernels
