#include "kernels/tile_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace headscope::kernels {
namespace {

// Up to this many rows a dot product per key is cheaper than rows that leave lanes of a register
// empty. Measured with AVX-512, head_dim 64 and 128.
constexpr int64_t kFewRows = 12;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

size_t size(int64_t n) {
  return static_cast<size_t>(n);
}

// Asks for rows [begin, begin + count) that are read soon. With few queries a tile's arithmetic is
// short, and the hardware does not follow two streams that take turns.
void fetch_ahead(const KvRows& rows, int64_t begin, int64_t count, int64_t d, KvType type) {
  const int64_t bytes = bytes_of(type);
  for (int64_t j = begin; j < begin + count; ++j) {
    const int64_t row = rows.index != nullptr ? rows.index[j] : j;
    const char* data = static_cast<const char*>(rows.data) + row * rows.stride * bytes;
    for (int64_t at = 0; at < d * bytes; at += kCacheLineBytes) __builtin_prefetch(data + at, 0, 2);
  }
}

}  // namespace

float base2_scale(double scale) {
  return static_cast<float>(scale * 1.44269504088896340736);
}

KvType kv_type(const at::Tensor& t) {
  if (t.scalar_type() == at::kBFloat16) return KvType::kBFloat16;
  if (t.scalar_type() == at::kHalf) return KvType::kFloat16;
  return KvType::kFloat32;
}

KvRows kv_rows(const at::Tensor& t, int64_t offset) {
  const char* data = static_cast<const char*>(t.const_data_ptr());
  return {data + offset * static_cast<int64_t>(t.element_size()), t.stride(-2), nullptr};
}

at::Tensor with_unit_stride(const at::Tensor& t) {
  return t.stride(-1) == 1 || t.size(-1) == 1 ? t : t.contiguous();
}

at::Tensor float_queries(const at::Tensor& q) {
  return q.to(at::kFloat).contiguous();
}

void SoftmaxState::reset(int64_t rows, int64_t value_dim) {
  max.assign(size(rows), kMinusInfinity);
  sum.assign(size(rows), 0.0f);
  o.assign(size(rows * value_dim), 0.0f);
}

int64_t padded_rows(int64_t rows) {
  const int64_t width = tile_kernels().lane_width;
  return (rows + width - 1) / width * width;
}

TileReader::TileReader(int64_t d, KvType type, int64_t max_rows, SoftmaxWeights weights)
    : kernels_(tile_kernels()), d_(d), type_(type), weights_(weights) {
  packed_.reserve(padded_rows(max_rows) * d);
  logits_.reserve(padded_rows(max_rows) * kLd);
  rescale_.resize(size(max_rows));
  hidden_.resize(size(max_rows));
  visible_.resize(size(max_rows));
}

TileReader::Product TileReader::product_for(int64_t rows, int64_t d, KvType type) {
  const bool few = rows <= kFewRows;
  if (type == KvType::kBFloat16 && tile_kernels().bfloat16 != nullptr && d % 2 == 0) {
    return few ? Product::kBFloat16Dot : Product::kBFloat16Rows;
  }
  return few ? Product::kDot : Product::kRows;
}

AttendLanes TileReader::lane_kernel(Product product) {
  if (product == Product::kRows) return tile_kernels().attend_lanes;
  return product == Product::kBFloat16Rows ? tile_kernels().bfloat16->attend_lanes : nullptr;
}

int64_t TileReader::most_rows(int64_t d, KvType type) {
  if (lane_kernel(product_for(kBlockRows, d, type)) == nullptr) return kBlockRows;
  return d <= 128 ? 4 * kBlockRows : 2 * kBlockRows;
}

void TileReader::set_rows(const float* q, int64_t rows, float factor) {
  rows_ = rows;
  factor_ = factor;
  product_ = product_for(rows, d_, type_);
  switch (product_) {
    case Product::kDot:
      std::transform(q, q + rows * d_, packed_.get(), [&](float x) { return x * factor; });
      break;
    case Product::kRows:
      kernels_.pack_rows(q, rows, d_, packed_.get());
      break;
    case Product::kBFloat16Dot:
      kernels_.bfloat16->round_rows(q, rows, d_, packed_.get());
      break;
    case Product::kBFloat16Rows:
      kernels_.bfloat16->pack_rows(q, rows, d_, packed_.get());
      break;
  }
}

KvRows TileReader::gathered(const KvRows& rows, int64_t begin, int64_t count) {
  const int64_t bytes = bytes_of(type_);
  gathered_.resize(size(kTileKeys * d_ * bytes));
  for (int64_t j = 0; j < count; ++j) {
    std::memcpy(gathered_.data() + j * d_ * bytes,
                static_cast<const char*>(rows.data) + rows.index[begin + j] * rows.stride * bytes,
                size(d_ * bytes));
  }
  return {gathered_.data(), d_, nullptr};
}

TileReader::PlainRows TileReader::product_keys(const KvRows& keys, int64_t begin, int64_t count) {
  const bool is_plain = keys.index == nullptr;
  // Many rows: even float32 keys side by side are read some percent faster from a copy.
  if (product_ == Product::kRows &&
      (!is_plain || type_ != KvType::kFloat32 || rows_ > kBlockRows)) {
    float* to = float_keys_.reserve(kTileKeys * d_);
    kernels_.widen[static_cast<int>(type_)](keys, begin, count, d_, to);
    return {to, d_, /*is_copy=*/true};
  }
  if (!is_plain) return {gathered(keys, begin, count).data, d_, /*is_copy=*/true};
  return {static_cast<const char*>(keys.data) + begin * keys.stride * bytes_of(type_), keys.stride,
          /*is_copy=*/false};
}

float* TileReader::logits(const KvRows& keys, int64_t begin, int64_t count) {
  write_logits(keys, begin, count, logits_.get());
  return logits_.get();
}

void TileReader::write_logits(const KvRows& keys, int64_t begin, int64_t count, float* out) {
  if (product_ == Product::kDot) {
    const bool scattered = keys.index != nullptr;
    kernels_.dot_logits[static_cast<int>(type_)](packed_.get(), rows_, d_,
                                                 scattered ? gathered(keys, begin, count) : keys,
                                                 scattered ? 0 : begin, count, out, kLd);
    return;
  }
  const PlainRows tile = product_keys(keys, begin, count);
  const auto product = product_ == Product::kRows           ? kernels_.row_logits
                       : product_ == Product::kBFloat16Rows ? kernels_.bfloat16->row_logits
                                                            : kernels_.bfloat16->dot_logits;
  product(packed_.get(), rows_, d_, factor_, tile.data, tile.stride, count, out, kLd);
}

const int64_t* TileReader::hidden(const int64_t* first, int64_t begin, int64_t count) {
  if (first == nullptr || *std::max_element(first, first + rows_) <= begin) return nullptr;
  for (int64_t r = 0; r < rows_; ++r) {
    hidden_[size(r)] = std::clamp<int64_t>(first[r] - begin, 0, count);
  }
  return hidden_.data();
}

const int64_t* TileReader::visible(const int64_t* end, int64_t begin, int64_t count) {
  if (end == nullptr || *std::min_element(end, end + rows_) >= begin + count) return nullptr;
  for (int64_t r = 0; r < rows_; ++r) {
    visible_[size(r)] = std::clamp<int64_t>(end[r] - begin, 0, count);
  }
  return visible_.data();
}

void TileReader::attend_in_lanes(AttendLanes kernel,
                                 const KvRows& keys,
                                 const KvRows* values,
                                 int64_t begin,
                                 int64_t end,
                                 const KeyBounds& bounds,
                                 SoftmaxState& state) {
  float* sums = nullptr;
  if (values != nullptr) {
    sums = lanes_.reserve(padded_rows(rows_) * d_);
    kernels_.pack_rows(state.o.data(), rows_, d_, sums);
  }
  for (int64_t key = begin; key < end; key += kTileKeys) {
    LaneTile tile;
    tile.count = std::min(kTileKeys, end - key);
    const PlainRows tile_keys = product_keys(keys, key, tile.count);
    tile.keys = tile_keys.data;
    tile.key_stride = tile_keys.stride;
    tile.keys_from_memory = !tile_keys.is_copy;
    if (values != nullptr) {
      float* packed = packed_values_.reserve(padded_rows(d_) * kTileKeys);
      kernels_.pack_values[static_cast<int>(type_)](*values, key, tile.count, d_, packed);
      tile.values = packed;
    }
    tile.first = hidden(bounds.first, key, tile.count);
    tile.end = visible(bounds.end, key, tile.count);
    kernel(packed_.get(), rows_, d_, factor_, tile, state.max.data(), state.sum.data(), sums);
  }
  if (sums != nullptr) kernels_.unpack_rows(sums, rows_, d_, state.o.data());
}

void TileReader::attend(const KvRows& keys,
                        const KvRows* values,
                        int64_t begin,
                        int64_t end,
                        const KeyBounds& bounds,
                        SoftmaxState& state) {
  int64_t run_end = std::min(end, begin + kRunKeys);
  attend_run(keys, values, begin, run_end, bounds, state);
  while (run_end < end) {
    const int64_t value_dim = values != nullptr ? d_ : 0, run_begin = run_end;
    run_end = std::min(end, run_begin + kRunKeys);
    run_.reset(rows_, value_dim);
    attend_run(keys, values, run_begin, run_end, bounds, run_);
    merge_states(state, run_, rows_, value_dim);
  }
}

void TileReader::attend_run(const KvRows& keys,
                            const KvRows* values,
                            int64_t begin,
                            int64_t end,
                            const KeyBounds& bounds,
                            SoftmaxState& state) {
  if (const AttendLanes kernel = lane_kernel(product_)) {
    attend_in_lanes(kernel, keys, values, begin, end, bounds, state);
    return;
  }
  const bool is_short = rows_ <= kFewRows;
  for (int64_t tile = begin; tile < end; tile += kTileKeys) {
    const int64_t count = std::min(kTileKeys, end - tile);
    if (is_short && values != nullptr) fetch_ahead(*values, tile, count, d_, type_);
    float* x = logits(keys, tile, count);
    if (is_short && tile + kTileKeys < end) {
      fetch_ahead(keys, tile + kTileKeys, std::min(kTileKeys, end - tile - kTileKeys), d_, type_);
    }
    if (const int64_t* unseen = hidden(bounds.first, tile, count)) {
      for (int64_t r = 0; r < rows_; ++r) std::fill_n(x + r * kLd, unseen[r], kMinusInfinity);
    }
    kernels_.softmax_step(x, kLd, rows_, count, visible(bounds.end, tile, count), state.max.data(),
                          state.sum.data(), rescale_.data());
    if (values != nullptr) add_values(*values, tile, count, state.o.data());
  }
}

void TileReader::add_values(const KvRows& values, int64_t begin, int64_t count, float* out) {
  const bool may_round = weights_ == SoftmaxWeights::kMayBeRounded &&
                         product_ == Product::kBFloat16Rows &&
                         kernels_.bfloat16->add_values != nullptr;
  const auto add =
      may_round ? kernels_.bfloat16->add_values : kernels_.add_values[static_cast<int>(type_)];
  const bool scattered = values.index != nullptr;
  add(logits_.get(), kLd, rows_, d_, scattered ? gathered(values, begin, count) : values,
      scattered ? 0 : begin, count, rescale_.data(), out);
}

float base2_lse(const SoftmaxState& state, size_t row) {
  return state.max[row] + std::log2(state.sum[row]);
}

void merge_states(SoftmaxState& into, const SoftmaxState& other, int64_t rows, int64_t value_dim) {
  for (int64_t r = 0; r < rows; ++r) {
    const size_t i = size(r);
    const float max = std::max(into.max[i], other.max[i]);
    if (max == kMinusInfinity) continue;
    const float a = std::exp2(into.max[i] - max), b = std::exp2(other.max[i] - max);
    into.sum[i] = into.sum[i] * a + other.sum[i] * b;
    into.max[i] = max;
    for (int64_t c = 0; c < value_dim; ++c) {
      const size_t at = size(r * value_dim + c);
      into.o[at] = into.o[at] * a + other.o[at] * b;
    }
  }
}

}  // namespace headscope::kernels
