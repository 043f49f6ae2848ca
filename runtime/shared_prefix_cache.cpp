#include "runtime/shared_prefix_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/ops.h"

namespace headscope::runtime {
namespace {

constexpr int64_t kRows = 2;  // the dimension of q, k, v and z that counts tokens

// Attention over two sets of keys as if they were one.
LayerAttention merged(const kernels::AttentionResult& a, const LayerAttention& b) {
  const at::Tensor share = at::sigmoid(a.lse - b.lse).unsqueeze(-1);  // of a
  const at::Tensor z = at::lerp(b.z.to(at::kFloat), a.z.to(at::kFloat), share);
  return {z.to(a.z.scalar_type()), at::logaddexp(a.lse, b.lse)};
}

// Filled row range by row range.
LayerAttention empty_attention(const LayerStep& step) {
  const at::Tensor& q = step.q;
  // Rows of one position side by side, as the kernels leave them.
  return {at::empty({1, q.size(2), q.size(1), q.size(3)}, q.options()).transpose(1, 2),
          at::empty({1, q.size(1), q.size(2)}, q.options().dtype(at::kFloat))};
}

}  // namespace

SharedPrefixCache::SharedPrefixCache(const FullKvCache& prefix, int64_t num_sequences)
    : prefix_(prefix), prefix_length_(prefix.next_position()) {
  if (prefix_length_ < 1 || prefix.keys(0).size(0) != 1) {
    throw std::invalid_argument("SharedPrefixCache: expected a prefix of one sequence, not empty");
  }
  if (num_sequences < 1) {
    throw std::invalid_argument("SharedPrefixCache: expected at least one sequence, found " +
                                std::to_string(num_sequences));
  }
  layers_.resize(static_cast<size_t>(prefix.num_layers()));
  for (Suffixes& layer : layers_) layer.resize(static_cast<size_t>(num_sequences));
  lengths_.assign(static_cast<size_t>(num_sequences), prefix_length_);
}

void SharedPrefixCache::expect_rows(std::vector<int64_t> rows) {
  if (rows.size() != lengths_.size() ||
      std::any_of(rows.begin(), rows.end(), [](int64_t count) { return count < 0; })) {
    throw std::invalid_argument("expect_rows: expected a count for each of the " +
                                std::to_string(lengths_.size()) + " sequences");
  }
  rows_ = std::move(rows);
}

std::vector<int64_t> SharedPrefixCache::row_positions() const {
  std::vector<int64_t> positions;
  for (size_t s = 0; s < rows_.size(); ++s) {
    for (int64_t i = 0; i < rows_[s]; ++i) positions.push_back(lengths_[s] + i);
  }
  return positions;
}

LayerAttention SharedPrefixCache::attend(const LayerStep& step) {
  check_step(step, static_cast<int64_t>(layers_.size()));
  const int64_t expected = std::accumulate(rows_.begin(), rows_.end(), int64_t{0});
  if (step.q.size(0) != 1 || step.q.size(kRows) != expected) {
    throw std::invalid_argument("attention step: expected [1, heads, " + std::to_string(expected) +
                                ", d] as expect_rows() said, found " +
                                std::to_string(step.q.size(0)) + " x " +
                                std::to_string(step.q.size(kRows)) + " rows");
  }
  assembled_layer_ = -1;  // its keys are about to change
  LayerAttention attention = empty_attention(step);
  if (is_windowed(step)) {
    attend_windowed(step, attention);
  } else {
    attend_own(step, attention);
    attention = merged(kernels::full_attention(step.q, prefix_.keys(step.layer),
                                               prefix_.values(step.layer), step.scale),
                       attention);
  }
  if (step.layer + 1 == static_cast<int64_t>(layers_.size())) {
    for (size_t s = 0; s < rows_.size(); ++s) lengths_[s] += rows_[s];
  }
  return attention;
}

// Whether some row no longer sees the whole prefix.
bool SharedPrefixCache::is_windowed(const LayerStep& step) const {
  if (step.attention_window == 0) return false;
  for (size_t s = 0; s < rows_.size(); ++s) {
    if (rows_[s] > 0 && lengths_[s] + rows_[s] > step.attention_window) return true;
  }
  return false;
}

LayerStep SharedPrefixCache::rows_of(const LayerStep& step, int64_t begin, int64_t count) const {
  LayerStep part = step;
  for (at::Tensor* tensor : {&part.q, &part.k, &part.v}) {
    *tensor = tensor->narrow(kRows, begin, count);
  }
  return part;
}

void SharedPrefixCache::attend_own(const LayerStep& step, LayerAttention& own) {
  Suffixes& suffixes = layers_[static_cast<size_t>(step.layer)];
  int64_t begin = 0;
  for (size_t s = 0; s < rows_.size(); begin += rows_[s++]) {
    if (rows_[s] == 0) continue;
    LayerStep part = rows_of(step, begin, rows_[s]);
    part.attention_window = 0;  // it reaches beyond the suffix, else is_windowed()
    const LayerAttention one = suffixes[s].attend(part);
    own.z.narrow(kRows, begin, rows_[s]).copy_(one.z);
    own.lse.narrow(kRows, begin, rows_[s]).copy_(one.lse);
  }
}

// Sequence by sequence over all its keys: the window cuts the prefix at another place for each row.
void SharedPrefixCache::attend_windowed(const LayerStep& step, LayerAttention& whole) {
  Suffixes& suffixes = layers_[static_cast<size_t>(step.layer)];
  int64_t begin = 0;
  for (size_t s = 0; s < rows_.size(); begin += rows_[s++]) {
    if (rows_[s] == 0) continue;
    LayerStep part = rows_of(step, begin, rows_[s]);
    part.attention_window = 0;
    static_cast<void>(suffixes[s].attend(part));  // appends
    const kernels::AttentionResult one = kernels::causal_attention(
        part.q, at::cat({prefix_.keys(step.layer), suffixes[s].keys()}, kRows),
        at::cat({prefix_.values(step.layer), suffixes[s].values()}, kRows), step.scale,
        step.attention_window);
    whole.z.narrow(kRows, begin, rows_[s]).copy_(one.z);
    whole.lse.narrow(kRows, begin, rows_[s]).copy_(one.lse);
  }
}

int64_t SharedPrefixCache::length(int64_t sequence) const {
  return lengths_.at(static_cast<size_t>(sequence));
}

int64_t SharedPrefixCache::next_position() const {
  return *std::max_element(lengths_.begin(), lengths_.end());
}

int64_t SharedPrefixCache::bytes_held() const {
  int64_t bytes = assembled_.defined() ? static_cast<int64_t>(assembled_.nbytes()) : 0;
  for (const Suffixes& layer : layers_) {
    for (const FullLayer& suffix : layer) bytes += suffix.bytes_held();
  }
  return bytes;
}

void SharedPrefixCache::truncate(int64_t sequence, int64_t length) {
  const auto s = static_cast<size_t>(sequence);
  if (length < prefix_length_ || length > lengths_.at(s)) {
    throw std::invalid_argument("truncate: expected " + std::to_string(prefix_length_) + ".." +
                                std::to_string(lengths_[s]) + " tokens, found " +
                                std::to_string(length));
  }
  // A sequence without rows of its own has no storage either.
  for (Suffixes& layer : layers_) {
    if (layer[s].length() > 0) layer[s].truncate(length - prefix_length_);
  }
  lengths_[s] = length;
  assembled_layer_ = -1;
}

at::Tensor SharedPrefixCache::keys(int64_t layer, int64_t sequence) {
  const FullLayer& suffix =
      layers_.at(static_cast<size_t>(layer)).at(static_cast<size_t>(sequence));
  const at::Tensor prefix = prefix_.keys(layer);
  const int64_t length = prefix_length_ + suffix.length();
  if (!assembled_.defined() || assembled_.size(kRows) < length) {
    assembled_ =
        at::empty({1, prefix.size(1), full_capacity(length), prefix.size(3)}, prefix.options());
    assembled_layer_ = -1;
  }
  if (assembled_layer_ != layer) {
    assembled_.narrow(kRows, 0, prefix_length_).copy_(prefix);
    assembled_layer_ = layer;
  }
  if (suffix.length() > 0) {
    assembled_.narrow(kRows, prefix_length_, suffix.length()).copy_(suffix.keys());
  }
  return assembled_.narrow(kRows, 0, length);
}

}  // namespace headscope::runtime
