// A decoder-only transformer on CPU or CUDA through LibTorch: RMSNorm, rotary embedding,
// grouped-query attention, SwiGLU. Attention goes through a runtime::KvCache, so that compressed
// caches need no other decoder.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/head_mask.h"
#include "model/observer.h"
#include "model/weights.h"
#include "runtime/kv_cache.h"

namespace headscope::model {

enum class LogitRows { kNone, kLast, kAll, kChosen };

struct ForwardOptions {
  LogitRows logits = LogitRows::kLast;
  Observer* observer = nullptr;         // not owned
  const HeadMask* head_mask = nullptr;  // not owned; null = every head as it is
  // Of every row, where rows are not one sequence's consecutive tokens but those of several, side
  // by side as [1, n]; the cache knows which is whose. Empty = from cache.next_position() on.
  std::span<const int64_t> positions = {};
  std::span<const int64_t> logit_rows = {};  // for kChosen: rows of [1, n], in any order
};

struct PrefillOptions {
  int64_t chunk_tokens = 1024;  // transient memory is bounded by this, not by the prompt
  LogitRows logits = LogitRows::kLast;
  Observer* observer = nullptr;
  const HeadMask* head_mask = nullptr;
};

class Decoder {
 public:
  // Loads every weight at `dtype` on `device`. Weights that the config does not call for, or that
  // are missing or of another shape, raise InputError with the tensor's name.
  Decoder(const ModelConfig& config,
          const WeightSource& weights,
          at::ScalarType dtype,
          at::Device device);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  // One pass over n new tokens, which take positions cache.next_position() on. Throws InputError
  // when they would pass the model's positions; std::invalid_argument for a head mask of another
  // model's shape, or for positions and logit rows that do not fit the tokens. Returns logits
  // float32: [B, n, vocab] (kAll), [B, 1, vocab] (kLast), [1, chosen, vocab] (kChosen), undefined
  // (kNone).
  at::Tensor forward(const at::Tensor& tokens,  // [B, n] int64
                     runtime::KvCache& cache,
                     const ForwardOptions& options = {}) const;

  // A whole prompt in chunks; tells the cache which pass is the prompt's last.
  at::Tensor prefill(std::span<const int64_t> tokens,
                     runtime::KvCache& cache,
                     const PrefillOptions& options = {}) const;

  // Prompts of different lengths side by side, padded on the left (kv_cache.h); decode steps follow
  // with forward(). Rows of logits that belong to padding hold nothing of use.
  at::Tensor prefill_batch(std::span<const std::vector<int64_t>> prompts,
                           runtime::KvCache& cache,
                           const PrefillOptions& options = {}) const;

  [[nodiscard]] const ModelConfig& config() const;
  [[nodiscard]] at::Device device() const;
  [[nodiscard]] at::ScalarType dtype() const;
  // o_proj of a layer: [hidden_size, num_query_heads * head_dim]; may be a copy.
  [[nodiscard]] at::Tensor output_projection(int64_t layer) const;
  [[nodiscard]] int64_t weight_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headscope::model
