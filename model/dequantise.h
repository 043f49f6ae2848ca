// GGUF block types and how their blocks become float32.
//
// Layouts as in ggml (ggml-common.h, https://github.com/ggml-org/ggml). "fp16" is IEEE half
// precision; q is an unsigned code, s and m are a block's scale and minimum.
//   Q8_0  32 values: fp16 s, 32 int8                      x = s q
//   Q4_0  32: fp16 s, 16 bytes (low nibbles first)        x = s (q - 8)
//   Q4_1  32: fp16 s, fp16 m, 16 bytes                    x = s q + m
//   Q5_0  32: fp16 s, 32 high bits, 16 bytes              x = s (q - 16)
//   Q5_1  32: fp16 s, fp16 m, 32 high bits, 16 bytes      x = s q + m
//   Q2_K … Q6_K, Q8_K: super-blocks of 256 with a scale (and minimum) per 16 or 32 values
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace headscope::model {

struct BlockType {
  uint32_t number = 0;     // as the file spells it
  const char* name = "";   // "Q4_1"
  int64_t block_size = 1;  // values
  int64_t block_bytes = 0;
  // `num_blocks` consecutive blocks to block_size * num_blocks floats.
  void (*to_float)(const std::byte* blocks, int64_t num_blocks, float* out) = nullptr;
};

// nullptr for a type that cannot be read.
[[nodiscard]] const BlockType* find_block_type(uint32_t number);
// Also names the types that cannot be read ("IQ4_XS"); "type 77" for an unknown number.
[[nodiscard]] std::string block_type_name(uint32_t number);
// "F32, F16, BF16, Q8_0, …"
[[nodiscard]] std::string supported_block_types();

}  // namespace headscope::model
