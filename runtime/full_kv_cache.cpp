#include "runtime/full_kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace headscope::runtime {

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
    Window& window = windows_[index(step.layer)];
    if (options_.sums_attention) {
      window.add_received(step, attention, layer.keys());
    }
    if (options_.window_tokens > 0) {
      window.remember(step, attention, options_.window_tokens, layer.length());
    }
  }
  if (step.layer == num_layers() - 1) {
    position_ = layer.length();
    window_frozen_ = window_frozen_ || prompt_ends_;
    prompt_ends_ = false;
  }
  return attention;
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

void FullKvCache::expect_padding(std::vector<int64_t> padding) {
  if (position_ > 0 || layers_.front().length() > 0) {
    throw std::logic_error("FullKvCache: padding has to be told before the first pass");
  }
  for (FullLayer& layer : layers_) {
    layer.set_padding(padding);
  }
  padding_ = layers_.front().padding();
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
    if (windows_[layer].end > length) {
      windows_[layer].truncate(length);
      window_frozen_ = false;
    }
  }
  position_ = length;
  prompt_ends_ = false;
}

void FullKvCache::clear() {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    layers_[layer] = FullLayer{};
    windows_[layer] = Window{};
  }
  padding_.clear();
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
    twin->padding_ = twin->layers_[layer].padding();
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
