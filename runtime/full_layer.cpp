#include "runtime/full_layer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/ops.h"

namespace headscope::runtime {

namespace {

constexpr int64_t kBlockTokens = 64;

std::string shape_text(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

void expect(bool holds, const std::string& what, const at::Tensor& found) {
  if (!holds) {
    throw std::invalid_argument("attention step: expected " + what + ", found " +
                                shape_text(found));
  }
}

}  // namespace

int64_t full_capacity(int64_t tokens) {
  if (tokens <= 0) {
    return 0;
  }
  int64_t capacity = kBlockTokens;
  while (capacity < tokens) {
    capacity += std::max(kBlockTokens, capacity / 8 / kBlockTokens * kBlockTokens);
  }
  return capacity;
}

void check_step(const LayerStep& step, int64_t num_layers) {
  if (step.layer < 0 || step.layer >= num_layers) {
    throw std::invalid_argument("attention step: expected a layer below " +
                                std::to_string(num_layers) + ", found " +
                                std::to_string(step.layer));
  }
  const at::Tensor& q = step.q;
  const at::Tensor& k = step.k;
  expect(q.dim() == 4, "q [B, Hq, n, d]", q);
  expect(k.dim() == 4 && k.size(0) == q.size(0) && k.size(2) == q.size(2) && k.size(3) == q.size(3),
         "k [B, Hkv, n, d] with B, n, d of q " + shape_text(q), k);
  expect(k.size(1) > 0 && q.size(1) % k.size(1) == 0,
         "query heads to be a multiple of the KV heads of q " + shape_text(q), k);
  expect(step.v.sizes() == k.sizes(), "v with the shape of k " + shape_text(k), step.v);
  if (k.scalar_type() != q.scalar_type() || step.v.scalar_type() != q.scalar_type() ||
      k.device() != q.device() || step.v.device() != q.device()) {
    throw std::invalid_argument("attention step: expected q, k, v of one dtype on one device");
  }
}

LayerAttention FullLayer::attend(const LayerStep& step) {
  append(step.k, step.v);
  if (!padding_.empty()) {
    return attend_padded(step);
  }
  kernels::AttentionResult result =
      kernels::causal_attention(step.q, keys(), values(), step.scale, step.attention_window);
  return {std::move(result.z), std::move(result.lse)};
}

// One call per sequence, over its own tokens only.
LayerAttention FullLayer::attend_padded(const LayerStep& step) const {
  const int64_t num_new = step.q.size(2);
  LayerAttention attention{
      at::zeros(step.q.sizes(), step.q.options()),
      at::full({step.q.size(0), step.q.size(1), num_new}, -std::numeric_limits<float>::infinity(),
               step.q.options().dtype(at::kFloat))};
  for (size_t b = 0; b < padding_.size(); ++b) {
    const auto sequence = static_cast<int64_t>(b);
    const int64_t real = length_ - padding_[b];
    const int64_t rows = std::min(num_new, real);
    if (rows <= 0) {
      continue;
    }
    const auto of_sequence = [&](const at::Tensor& t, int64_t count) {
      return t.narrow(/*dim=*/0, sequence, 1).narrow(/*dim=*/2, t.size(2) - count, count);
    };
    kernels::AttentionResult result =
        kernels::causal_attention(of_sequence(step.q, rows), of_sequence(keys(), real),
                                  of_sequence(values(), real), step.scale, step.attention_window);
    of_sequence(attention.z, rows).copy_(result.z);
    of_sequence(attention.lse, rows).copy_(result.lse);
  }
  return attention;
}

void FullLayer::set_padding(std::vector<int64_t> padding) {
  int64_t most = 0;
  for (const int64_t count : padding) {
    if (count < 0) {
      throw std::invalid_argument("padding: expected 0 or more entries, found " +
                                  std::to_string(count));
    }
    most = std::max(most, count);
  }
  padding_ = most > 0 ? std::move(padding) : std::vector<int64_t>{};
}

at::Tensor FullLayer::keys() const {
  return keys_.defined() ? keys_.narrow(/*dim=*/2, 0, length_) : at::Tensor();
}

at::Tensor FullLayer::values() const {
  return values_.defined() ? values_.narrow(/*dim=*/2, 0, length_) : at::Tensor();
}

int64_t FullLayer::bytes_held() const {
  return keys_.defined() ? static_cast<int64_t>(keys_.nbytes() + values_.nbytes()) : 0;
}

void FullLayer::truncate(int64_t length) {
  if (length < 0 || length > length_) {
    throw std::invalid_argument("truncate: expected 0.." + std::to_string(length_) +
                                " tokens, found " + std::to_string(length));
  }
  length_ = length;
}

FullLayer FullLayer::copy(int64_t num_copies) const {
  FullLayer twin;
  twin.reserved_tokens_ = reserved_tokens_;
  for (const int64_t count : padding_) {
    twin.padding_.insert(twin.padding_.end(), static_cast<size_t>(num_copies), count);
  }
  if (keys_.defined()) {
    twin.keys_ = keys_.repeat_interleave(num_copies, /*dim=*/0);
    twin.values_ = values_.repeat_interleave(num_copies, /*dim=*/0);
    twin.length_ = length_;
  }
  return twin;
}

void FullLayer::append(const at::Tensor& k, const at::Tensor& v) {
  if (keys_.defined() && (k.size(0) != keys_.size(0) || k.size(1) != keys_.size(1) ||
                          k.size(3) != keys_.size(3) || k.scalar_type() != keys_.scalar_type())) {
    throw std::invalid_argument("attention step: expected k like the cache's " + shape_text(keys_) +
                                " and of its dtype, found " + shape_text(k));
  }
  if (!padding_.empty() && static_cast<int64_t>(padding_.size()) != k.size(0)) {
    throw std::invalid_argument("attention step: expected the " + std::to_string(padding_.size()) +
                                " sequences whose padding was told, found " + shape_text(k));
  }
  const int64_t wanted = length_ + k.size(2);
  if (!keys_.defined() || wanted > keys_.size(2)) {
    grow(k, full_capacity(std::max(wanted, reserved_tokens_)));
  }
  keys_.narrow(/*dim=*/2, length_, k.size(2)).copy_(k);
  values_.narrow(/*dim=*/2, length_, k.size(2)).copy_(v);
  length_ = wanted;
}

void FullLayer::grow(const at::Tensor& like, int64_t capacity) {
  // One buffer after the other, so that only one of the two is held twice at a time.
  for (at::Tensor* buffer : {&keys_, &values_}) {
    at::Tensor grown =
        at::empty({like.size(0), like.size(1), capacity, like.size(3)}, like.options());
    if (buffer->defined()) {
      grown.narrow(/*dim=*/2, 0, length_).copy_(buffer->narrow(/*dim=*/2, 0, length_));
    }
    *buffer = std::move(grown);
  }
}

}  // namespace headscope::runtime
