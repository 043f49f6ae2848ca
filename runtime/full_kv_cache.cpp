#include "runtime/full_kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/ops.h"

namespace headscope::runtime {

namespace {

// The last `count` rows of old and new together. Cloned, so that a view does not keep a chunk
// alive.
at::Tensor last_rows(const at::Tensor& old_rows, const at::Tensor& new_rows, int64_t count) {
  constexpr int64_t kRows = 2;
  const int64_t num_new = new_rows.size(kRows);
  if (num_new >= count || !old_rows.defined()) {
    const int64_t taken = std::min(count, num_new);
    return new_rows.narrow(kRows, num_new - taken, taken).clone();
  }
  const int64_t num_old = std::min(old_rows.size(kRows), count - num_new);
  return at::cat({old_rows.narrow(kRows, old_rows.size(kRows) - num_old, num_old), new_rows},
                 kRows);
}

// Attention received so far plus that from the step's rows. `before` is undefined for the first
// rows of all; where it no longer covers the rows before the step there is no sum to go on with.
at::Tensor sum_received(const at::Tensor& before,
                        const LayerStep& step,
                        const LayerAttention& attention,
                        const at::Tensor& keys) {
  const int64_t num_before = keys.size(2) - step.q.size(2);
  if (num_before > 0 && (!before.defined() || before.size(2) != num_before)) {
    return {};
  }
  at::Tensor sum =
      kernels::attention_received(step.q, keys, attention.lse, step.scale, step.attention_window);
  if (num_before > 0) {
    sum.narrow(/*dim=*/2, 0, num_before).add_(before);
  }
  return sum;
}

}  // namespace

FullKvCache::FullKvCache(int64_t num_layers, const FullKvCacheOptions& options)
    : options_(options) {
  if (num_layers < 1) {
    throw std::invalid_argument("FullKvCache: expected at least one layer, found " +
                                std::to_string(num_layers));
  }
  expected_tokens_ = options.reserve_tokens;
  layers_.resize(static_cast<size_t>(num_layers));
  windows_.resize(static_cast<size_t>(num_layers));
}

LayerAttention FullKvCache::attend(const LayerStep& step) {
  check_step(step, num_layers());
  FullLayer& layer = layers_[index(step.layer)];
  layer.reserve(expected_tokens_);
  LayerAttention attention = layer.attend(step);
  if (!window_frozen_) {
    if (options_.sums_attention) {
      Window& window = windows_[index(step.layer)];
      window.received = sum_received(window.received, step, attention, layer.keys());
    }
    if (options_.window_tokens > 0) {
      remember_window(step, attention, layer.length());
    }
  }
  if (step.layer == num_layers() - 1) {
    position_ = layer.length();
    window_frozen_ = window_frozen_ || prompt_ends_;
    prompt_ends_ = false;
  }
  return attention;
}

void FullKvCache::remember_window(const LayerStep& step,
                                  const LayerAttention& attention,
                                  int64_t end) {
  Window& window = windows_[index(step.layer)];
  window.q = last_rows(window.q, step.q, options_.window_tokens);
  window.lse = last_rows(window.lse, attention.lse, options_.window_tokens);
  window.scale = step.scale;
  window.attention_window = step.attention_window;
  window.end = end;
}

int64_t FullKvCache::next_position() const {
  return position_;
}

int64_t FullKvCache::bytes_held() const {
  int64_t bytes = 0;
  for (const FullLayer& layer : layers_) {
    bytes += layer.bytes_held();
  }
  return bytes;
}

void FullKvCache::expect_prompt(int64_t num_tokens) {
  expected_tokens_ = std::max(options_.reserve_tokens, position_ + num_tokens);
}

void FullKvCache::expect_end_of_prompt() {
  prompt_ends_ = true;
}

at::Tensor FullKvCache::keys(int64_t layer) const {
  return layers_[index(layer)].keys();
}

at::Tensor FullKvCache::values(int64_t layer) const {
  return layers_[index(layer)].values();
}

const FullKvCache::Window& FullKvCache::window(int64_t layer) const {
  return windows_[index(layer)];
}

void FullKvCache::truncate(int64_t length) {
  if (length < 0 || length > position_) {
    throw std::invalid_argument("truncate: expected 0.." + std::to_string(position_) +
                                " tokens, found " + std::to_string(length));
  }
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer].truncate(length);
    Window& window = windows_[layer];
    if (window.received.defined() && window.received.size(2) > length) {
      window.received = at::Tensor();
      window_frozen_ = false;
    }
    if (window.end <= length) {
      continue;
    }
    const int64_t rows = window.q.size(2) - (window.end - length);
    if (rows > 0) {
      window.q = window.q.narrow(/*dim=*/2, 0, rows).clone();
      window.lse = window.lse.narrow(/*dim=*/2, 0, rows).clone();
      window.end = length;
    } else {
      window = Window{};
    }
    window_frozen_ = false;
  }
  position_ = length;
  prompt_ends_ = false;
}

void FullKvCache::clear() {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer] = FullLayer{};
    windows_[layer] = Window{};
  }
  position_ = 0;
  expected_tokens_ = options_.reserve_tokens;
  prompt_ends_ = false;
  window_frozen_ = false;
}

std::unique_ptr<FullKvCache> FullKvCache::fork(int64_t num_copies) const {
  if (num_copies < 1) {
    throw std::invalid_argument("fork: expected at least one copy, found " +
                                std::to_string(num_copies));
  }
  auto twin = std::make_unique<FullKvCache>(num_layers(), options_);
  twin->position_ = position_;
  twin->expected_tokens_ = expected_tokens_;
  twin->prompt_ends_ = prompt_ends_;
  twin->window_frozen_ = window_frozen_;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    twin->layers_[layer] = layers_[layer].copy(num_copies);
    Window& window = twin->windows_[layer];
    window = windows_[layer];
    if (window.q.defined()) {
      window.q = window.q.repeat_interleave(num_copies, /*dim=*/0);
      window.lse = window.lse.repeat_interleave(num_copies, /*dim=*/0);
    }
    if (window.received.defined()) {
      window.received = window.received.repeat_interleave(num_copies, /*dim=*/0);
    }
  }
  return twin;
}

FullLayer FullKvCache::release_layer(int64_t layer) {
  return std::exchange(layers_[index(layer)], FullLayer{});
}

size_t FullKvCache::index(int64_t layer) const {
  if (layer < 0 || layer >= num_layers()) {
    throw std::invalid_argument("FullKvCache: expected a layer below " +
                                std::to_string(num_layers()) + ", found " + std::to_string(layer));
  }
  return static_cast<size_t>(layer);
}

}  // namespace headscope::runtime
