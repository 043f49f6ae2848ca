// A decoder's hyper-parameters, read from config.json or from GGUF keys into one form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "outputs/model_shape.h"

namespace headscope::model {

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn };

struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  int64_t original_max_positions = 0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0;        // yarn
  double beta_slow = 1.0;         // yarn
  std::optional<double> attention_factor;  // yarn: multiplies cos and sin; default 0.1 ln(factor)+1
  std::optional<double> mscale;            // yarn variants
  std::optional<double> mscale_all_dim;
  bool truncate = true;                    // yarn: round the correction range
  std::vector<float> frequency_factors;    // GGUF's rope_freqs.weight; divides the frequencies
};

struct ModelConfig {
  std::string architecture;  // "llama", "mistral", "qwen2", "qwen3"
  int64_t num_layers = 0;
  int64_t num_query_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;                   // RMSNorm per head on q and k before rotary embedding
  std::vector<int64_t> attention_window;  // per layer, 0 = full
  std::string checkpoint_dtype;           // "float32", "bfloat16", "float16"
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;     // generation_config.json's where present

  [[nodiscard]] ModelShape shape() const;
};

}  // namespace headscope::model
