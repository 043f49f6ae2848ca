// One SHA-256 per checkpoint, the same whatever file and dtype above 8 bits it is read from.
//
// Hashed, in this order, all numbers little endian, strings as uint64 length and bytes:
//   1. the string "headscope.fingerprint.1"
//   2. int64: num_layers, num_query_heads, num_kv_heads, head_dim, hidden_size, intermediate_size,
//      vocab_size, max_positions, then the attention window of every layer (0 = full attention).
//      The architecture's name is not hashed: GGUF calls Mistral "llama".
//   3. float32: rms_norm_eps, the rotary base; then the string "table" and head_dim / 2 rotary
//      frequencies rounded to bfloat16 where a table describes them (no scaling, linear, llama3,
//      GGUF's factors), so that Llama-3.1's parameters and GGUF's table of factors agree; or the
//      string "dynamic" or "yarn" and, as float32, factor and original positions, for yarn also
//      beta_fast, beta_slow, the factor on cos and sin, and truncate (0 or 1).
//   4. for every tensor that the configuration calls for (a tied lm_head and rotary buffers are
//   not),
//      sorted by name: name, int64 rank, int64 dims, and 64 values at positions
//      floor(i * (n - 1) / 63), or all n where n < 64, each rounded to bfloat16 (uint16).
// A value whose magnitude is below 2^-17 is rounded to the nearest multiple of 2^-24, half
// precision's finest step, and -0 to 0: so bfloat16 weights and their float16 copy agree. What
// cannot agree: a float32 checkpoint that is not exact in float16 with its float16 copy (rounding
// twice differs from rounding once in some values).
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace headscope::model {

inline constexpr int64_t kFingerprintValues = 64;

// 64 hex digits. Reads only the sampled values.
[[nodiscard]] std::string fingerprint_of(const ModelConfig& config, const WeightSource& weights);

// The bits of one sampled value as they are hashed.
[[nodiscard]] uint16_t fingerprint_bits(float value);

}  // namespace headscope::model
