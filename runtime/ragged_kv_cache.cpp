#include "runtime/ragged_kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace headscope::runtime {

RaggedKvCache::RaggedKvCache(int64_t num_layers,
                             int64_t prompt_tokens,
                             std::vector<int64_t> padding)
    : layers_(static_cast<size_t>(num_layers)),
      padding_(std::move(padding)),
      prompt_tokens_(prompt_tokens),
      position_(prompt_tokens) {}

void RaggedKvCache::set_layer(int64_t layer, FullLayer full) {
  layers_[index(layer)] = std::move(full);
}

void RaggedKvCache::set_layer(int64_t layer, RaggedLayer ragged) {
  layers_[index(layer)] = std::move(ragged);
}

LayerAttention RaggedKvCache::attend(const LayerStep& step) {
  check_step(step, num_layers());
  Layer& layer = layers_[index(step.layer)];
  LayerAttention attention;
  if (auto* full = std::get_if<FullLayer>(&layer)) {
    attention = full->attend(step);
  } else if (auto* ragged = std::get_if<RaggedLayer>(&layer)) {
    attention = ragged->attend(step);
  } else {
    throw std::invalid_argument("RaggedKvCache: layer " + std::to_string(step.layer) +
                                " has not been set");
  }
  if (step.layer == num_layers() - 1) {
    position_ += step.k.size(2);
  }
  return attention;
}

int64_t RaggedKvCache::bytes_held() const {
  int64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (const auto* full = std::get_if<FullLayer>(&layer)) {
      bytes += full->bytes_held();
    } else if (const auto* ragged = std::get_if<RaggedLayer>(&layer)) {
      bytes += ragged->bytes_held();
    }
  }
  return bytes;
}

void RaggedKvCache::evict_layer(const LayerBudget& budget, const QueryWindow& window) {
  Layer& layer = layers_[index(budget.layer)];
  if (auto* ragged = std::get_if<RaggedLayer>(&layer)) {
    evict_again(budget, window, *ragged);
  } else if (auto* full = std::get_if<FullLayer>(&layer);
             full != nullptr && !keeps_everything(budget, full->length())) {
    layer = evict(budget, *full, window);
  }
}

bool RaggedKvCache::exceeds(int64_t layer, std::span<const int64_t> most) const {
  const Layer& held = layers_[index(layer)];
  if (const auto* full = std::get_if<FullLayer>(&held)) {
    return std::any_of(most.begin(), most.end(),
                       [&](int64_t tokens) { return full->length() > tokens; });
  }
  const auto* ragged = std::get_if<RaggedLayer>(&held);
  for (int64_t row = 0; ragged != nullptr && row < ragged->num_rows(); ++row) {
    if (ragged->length(row) > most[static_cast<size_t>(row % ragged->num_kv_heads())]) {
      return true;
    }
  }
  return false;
}

int64_t RaggedKvCache::layer_end(int64_t layer) const {
  const Layer& held = layers_[index(layer)];
  if (const auto* ragged = std::get_if<RaggedLayer>(&held)) {
    return ragged->next_position();
  }
  const auto* full = std::get_if<FullLayer>(&held);
  return full == nullptr ? 0 : full->length();
}

void RaggedKvCache::truncate(int64_t length) {
  if (length < prompt_tokens_ || length > position_) {
    throw std::invalid_argument(
        "truncate: expected " + std::to_string(prompt_tokens_) + ".." + std::to_string(position_) +
        " tokens (evicted keys do not come back), found " + std::to_string(length));
  }
  // All or nothing: ask every layer first.
  for (const Layer& layer : layers_) {
    const auto* ragged = std::get_if<RaggedLayer>(&layer);
    if (ragged != nullptr && length < ragged->earliest_truncation()) {
      throw std::invalid_argument(
          "truncate: a later eviction or a sliding window has given up what stood before token " +
          std::to_string(ragged->earliest_truncation()) + ", asked for " + std::to_string(length));
    }
  }
  for (Layer& layer : layers_) {
    if (auto* full = std::get_if<FullLayer>(&layer)) {
      full->truncate(length);
    } else if (auto* ragged = std::get_if<RaggedLayer>(&layer)) {
      ragged->truncate(length);
    }
  }
  position_ = length;
}

bool RaggedKvCache::is_evicted(int64_t layer) const {
  return std::holds_alternative<RaggedLayer>(layers_[index(layer)]);
}

std::vector<int64_t> RaggedKvCache::retained_positions(int64_t layer,
                                                       int64_t kv_head,
                                                       int64_t sequence) const {
  const Layer& held = layers_[index(layer)];
  const int64_t padding = padding_.empty() ? 0 : padding_.at(static_cast<size_t>(sequence));
  if (const auto* ragged = std::get_if<RaggedLayer>(&held)) {
    std::vector<int64_t> positions = ragged->positions(sequence * ragged->num_kv_heads() + kv_head);
    for (int64_t& position : positions) {
      position -= padding;
    }
    return positions;
  }
  const auto* full = std::get_if<FullLayer>(&held);
  std::vector<int64_t> all(static_cast<size_t>(full == nullptr ? 0 : full->length() - padding));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

size_t RaggedKvCache::index(int64_t layer) const {
  if (layer < 0 || layer >= num_layers()) {
    throw std::invalid_argument("RaggedKvCache: expected a layer below " +
                                std::to_string(num_layers()) + ", found " + std::to_string(layer));
  }
  return static_cast<size_t>(layer);
}

}  // namespace headscope::runtime
