#include "kernels/tile_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace headscope::kernels {
namespace {

// Below this many rows a dot product per key is cheaper than transposing the key tile.
constexpr int64_t kFewRows = 8;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

size_t size(int64_t n) {
  return static_cast<size_t>(n);
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

at::Tensor base2_queries(const at::Tensor& q, double scale) {
  return q.to(at::kFloat).mul(base2_scale(scale)).contiguous();
}

void SoftmaxState::reset(int64_t rows, int64_t value_dim) {
  max.assign(size(rows), kMinusInfinity);
  sum.assign(size(rows), 0.0f);
  o.assign(size(rows * value_dim), 0.0f);
}

TileReader::TileReader(int64_t d, int64_t max_rows)
    : kernels_(tile_kernels()),
      d_(d),
      logits_(size(max_rows * kLd)),
      rescale_(size(max_rows)),
      visible_(size(max_rows)) {}

const float* TileReader::panels(const KvRows& keys, KvType type, int64_t begin, int64_t count) {
  panels_.resize(size(kTileKeys * d_));
  const float* from = static_cast<const float*>(keys.data) + begin * keys.stride;
  int64_t stride = keys.stride;
  if (type != KvType::kFloat32 || keys.index != nullptr) {
    widened_.resize(size(kTileKeys * d_));
    kernels_.widen[static_cast<int>(type)](keys, begin, count, d_, widened_.data());
    from = widened_.data();
    stride = d_;
  }
  kernels_.pack(from, stride, count, d_, panels_.data());
  return panels_.data();
}

float* TileReader::logits(
    const float* q, int64_t rows, const KvRows& keys, KvType type, int64_t begin, int64_t count) {
  if (rows < kFewRows && keys.index == nullptr) {
    kernels_.dot_logits[static_cast<int>(type)](q, rows, d_, keys, begin, count, logits_.data(),
                                                kLd);
  } else {
    kernels_.logits(q, rows, d_, panels(keys, type, begin, count), count, logits_.data(), kLd);
  }
  return logits_.data();
}

const int64_t* TileReader::visible(const int64_t* end, int64_t rows, int64_t begin, int64_t count) {
  if (end == nullptr || *std::min_element(end, end + rows) >= begin + count) return nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    visible_[size(r)] = std::clamp<int64_t>(end[r] - begin, 0, count);
  }
  return visible_.data();
}

void TileReader::attend(const float* q,
                        int64_t rows,
                        const KvRows& keys,
                        const KvRows* values,
                        KvType type,
                        int64_t begin,
                        int64_t end,
                        const KeyBounds& bounds,
                        SoftmaxState& state) {
  for (int64_t tile = begin; tile < end; tile += kTileKeys) {
    const int64_t count = std::min(kTileKeys, end - tile);
    float* x = logits(q, rows, keys, type, tile, count);
    if (bounds.first != nullptr) {
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t hidden = std::clamp<int64_t>(bounds.first[r] - tile, 0, count);
        std::fill_n(x + r * kLd, hidden, kMinusInfinity);
      }
    }
    kernels_.softmax_step(x, kLd, rows, count, visible(bounds.end, rows, tile, count),
                          state.max.data(), state.sum.data(), rescale_.data());
    if (values == nullptr) continue;
    if (values->index != nullptr) {
      widened_.resize(size(kTileKeys * d_));
      kernels_.widen[static_cast<int>(type)](*values, tile, count, d_, widened_.data());
      const KvRows gathered{widened_.data(), d_, nullptr};
      kernels_.add_values[0](x, kLd, rows, d_, gathered, 0, count, rescale_.data(), state.o.data());
    } else {
      kernels_.add_values[static_cast<int>(type)](x, kLd, rows, d_, *values, tile, count,
                                                  rescale_.data(), state.o.data());
    }
  }
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
