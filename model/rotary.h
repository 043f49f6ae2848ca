// Rotary position embedding (Su et al., 2104.09864) in Hugging Face's half-split layout: dimension
// i of a head is rotated together with dimension i + head_dim / 2.
//
// Frequencies follow transformers' modeling_rope_utils in float32, term by term, so that long
// prompts get the same rounding: linear interpolation (Chen et al., 2306.15595), dynamic NTK, Llama
// 3.1's piecewise rule, YaRN (Peng et al., 2309.00071), and GGUF's per-frequency divisors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "model/config.h"

namespace headscope::model {

// The longest sequence the model may be run on, tokens. Interpolated models (linear, dynamic, YaRN)
// reach `factor` times their original positions even where the config states only the original.
[[nodiscard]] int64_t position_limit(const ModelConfig& config);

struct RotaryTable {
  at::Tensor cos;  // [n, head_dim / 2] float32, attention factor included
  at::Tensor sin;  // [n, head_dim / 2]
};

class Rotary {
 public:
  // InputError where head_dim is odd or the frequency factors do not number head_dim / 2.
  Rotary(const ModelConfig& config, at::Device device);

  // Angles of positions first .. first + count - 1. Dynamic NTK stretches its base by the end of
  // the pass, first + count, once that exceeds the original positions: a whole prompt, its chunks
  // and its single steps then rotate by different angles, exactly as they do in transformers.
  [[nodiscard]] RotaryTable table(int64_t first, int64_t count) const;

  // The same for any positions, one row each (at least one); a pass that ends after the largest.
  [[nodiscard]] RotaryTable table(std::span<const int64_t> positions) const;

  // Radians per position, [head_dim / 2] float32 on CPU, of a pass that ends at `sequence_length`.
  [[nodiscard]] at::Tensor frequencies(int64_t sequence_length) const;

  // Multiplies cos and sin (YaRN; otherwise 1).
  [[nodiscard]] double attention_factor() const { return attention_factor_; }

 private:
  [[nodiscard]] RotaryTable table_of(const at::Tensor& positions, int64_t end) const;

  RopeConfig rope_;
  int64_t head_dim_ = 0;
  int64_t original_positions_ = 0;
  double attention_factor_ = 1.0;
  at::Device device_;
  at::Tensor device_frequencies_;  // of a sequence within the original positions
};

// Rotates every head in place, in float32 whatever the dtype.
void rotate_heads_(at::Tensor heads,  // [B, n, H, head_dim], last dimension contiguous
                   const RotaryTable& table);

}  // namespace headscope::model
