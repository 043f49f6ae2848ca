// SmolLM2-135M's shape, for benchmarks of the whole decoder on random weights: the time does not
// depend on them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config.h"

namespace headscope::benchmarks {

inline model::ModelConfig smollm2_config() {
  model::ModelConfig config;
  config.architecture = "llama";
  config.num_layers = 30;
  config.num_query_heads = 9;
  config.num_kv_heads = 3;
  config.head_dim = 64;
  config.hidden_size = 576;
  config.intermediate_size = 1536;
  config.vocab_size = 49152;
  config.max_positions = 8192;
  config.rms_norm_eps = 1e-5;
  config.rope.theta = 100000.0;
  config.tie_word_embeddings = true;
  config.attention_window.assign(30, 0);
  config.checkpoint_dtype = "float32";
  return config;
}

// The same with fewer layers and words, for checks.
inline model::ModelConfig shortened(model::ModelConfig config, int64_t layers, int64_t vocab) {
  config.num_layers = layers;
  config.vocab_size = vocab;
  config.attention_window.assign(static_cast<size_t>(layers), 0);
  return config;
}

}  // namespace headscope::benchmarks
