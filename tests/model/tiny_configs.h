// Configurations of tiny models for the decoder's tests.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace headscope::testing {

inline model::ModelConfig tiny_config(int64_t num_query_heads = 4,
                                      int64_t num_kv_heads = 2,
                                      int64_t head_dim = 8) {
  model::ModelConfig config;
  config.architecture = "llama";
  config.num_layers = 2;
  config.num_query_heads = num_query_heads;
  config.num_kv_heads = num_kv_heads;
  config.head_dim = head_dim;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.vocab_size = 61;
  config.max_positions = 512;
  config.rms_norm_eps = 1e-5;
  config.attention_window.assign(2, 0);
  config.checkpoint_dtype = "float32";
  return config;
}

}  // namespace headscope::testing
