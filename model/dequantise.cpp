#include "model/dequantise.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <array>
#include <cstring>
#include <utility>

namespace headscope::model {
namespace {

using Bytes = const std::byte*;

constexpr int64_t kSuper = 256;  // values of a K-type super-block

uint32_t u8(Bytes at) {
  return std::to_integer<uint32_t>(*at);
}
float i8(Bytes at) {
  return static_cast<float>(static_cast<int8_t>(std::to_integer<uint8_t>(*at)));
}

float half(Bytes at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

void f32(Bytes in, int64_t n, float* out) {
  std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
}

void f16(Bytes in, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = half(in + 2 * i);
}

void bf16(Bytes in, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, in + 2 * i, sizeof bits);
    out[i] = static_cast<float>(c10::BFloat16(bits, c10::BFloat16::from_bits()));
  }
}

void q8_0(Bytes in, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, in += 34, out += 32) {
    const float scale = half(in);
    for (int64_t i = 0; i < 32; ++i) out[i] = i8(in + 2 + i) * scale;
  }
}

// The four types of 32 values with 4- or 5-bit codes. Values 0–15 are the low nibbles, 16–31 the
// high ones; bit i of the 32 high bits belongs to value i.
template <bool kHasMinimum, bool kHasHighBit>
void q4_q5(Bytes in, int64_t n, float* out) {
  constexpr int64_t kCodes = 2 + (kHasMinimum ? 2 : 0) + (kHasHighBit ? 4 : 0);
  constexpr float kCentre = kHasHighBit ? 16.0F : 8.0F;
  for (int64_t b = 0; b < n; ++b, in += kCodes + 16, out += 32) {
    const float scale = half(in);
    const float minimum = kHasMinimum ? half(in + 2) : 0.0F;
    uint32_t high = 0;
    if constexpr (kHasHighBit) std::memcpy(&high, in + kCodes - 4, sizeof high);
    for (int64_t i = 0; i < 16; ++i) {
      const uint32_t both = u8(in + kCodes + i);
      const uint32_t low_code = (both & 15) | ((high >> i) & 1) << 4;
      const uint32_t high_code = (both >> 4) | ((high >> (i + 16)) & 1) << 4;
      if constexpr (kHasMinimum) {
        out[i] = scale * static_cast<float>(low_code) + minimum;
        out[i + 16] = scale * static_cast<float>(high_code) + minimum;
      } else {
        out[i] = scale * (static_cast<float>(low_code) - kCentre);
        out[i + 16] = scale * (static_cast<float>(high_code) - kCentre);
      }
    }
  }
}

// Value v of 256 two-bit codes in 64 bytes: two halves of 128 values, each in 32 bytes of four
// bit pairs; the pair is the slowest index within a half.
uint32_t two_bits(Bytes codes, int64_t v) {
  const int64_t byte = v / 128 * 32 + v % 32;
  return u8(codes + byte) >> (v % 128 / 32 * 2) & 3;
}

void q2_k(Bytes in, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, in += 84, out += kSuper) {
    const float scale = half(in + 80);
    const float minimum = half(in + 82);
    for (int64_t group = 0; group < 16; ++group) {
      const uint32_t packed = u8(in + group);
      const float s = scale * static_cast<float>(packed & 15);
      const float m = minimum * static_cast<float>(packed >> 4);
      for (int64_t v = 16 * group; v < 16 * group + 16; ++v) {
        out[v] = s * static_cast<float>(two_bits(in + 16, v)) - m;
      }
    }
  }
}

// Sixteen 6-bit scales in 12 bytes: low nibbles in bytes 0–7, the upper two bits in bytes 8–11.
float q3_scale(Bytes packed, int64_t group) {
  const uint32_t low = u8(packed + group % 8) >> (group / 8 * 4) & 15;
  const uint32_t high = u8(packed + 8 + group % 4) >> (group / 4 * 2) & 3;
  return static_cast<float>(low | high << 4) - 32.0F;
}

void q3_k(Bytes in, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, in += 110, out += kSuper) {
    const float scale = half(in + 108);
    for (int64_t group = 0; group < 16; ++group) {
      const float s = scale * q3_scale(in + 96, group);
      for (int64_t v = 16 * group; v < 16 * group + 16; ++v) {
        // The mask's bit is set where nothing is to be subtracted.
        const uint32_t set = u8(in + v % 32) >> (v / 32) & 1;
        const float code = static_cast<float>(two_bits(in + 32, v)) - (set != 0 ? 0.0F : 4.0F);
        out[v] = s * code;
      }
    }
  }
}

// Eight 6-bit scales and minima in 12 bytes, shared by Q4_K and Q5_K: the first four of each lie in
// the low six bits of bytes 0–3 and 4–7; the others are nibbles of bytes 8–11 with their upper two
// bits in the top of bytes 0–7.
std::pair<float, float> scale_and_minimum(Bytes packed, int64_t group) {
  if (group < 4) {
    return {static_cast<float>(u8(packed + group) & 63),
            static_cast<float>(u8(packed + group + 4) & 63)};
  }
  const uint32_t low = u8(packed + group + 4);
  return {static_cast<float>((low & 15) | (u8(packed + group - 4) >> 6) << 4),
          static_cast<float>((low >> 4) | (u8(packed + group) >> 6) << 4)};
}

template <bool kHasHighBit>
void q4_k_q5_k(Bytes in, int64_t n, float* out) {
  constexpr int64_t kCodes = 16 + (kHasHighBit ? 32 : 0);
  for (int64_t b = 0; b < n; ++b, in += kCodes + 128, out += kSuper) {
    const float scale = half(in);
    const float minimum = half(in + 2);
    for (int64_t group = 0; group < 8; ++group) {
      const auto [s, m] = scale_and_minimum(in + 4, group);
      const float group_scale = scale * s;
      const float group_minimum = minimum * m;
      for (int64_t i = 0; i < 32; ++i) {
        uint32_t code = u8(in + kCodes + group / 2 * 32 + i) >> (group % 2 * 4) & 15;
        if constexpr (kHasHighBit) code |= (u8(in + 16 + i) >> group & 1) << 4;
        out[32 * group + i] = group_scale * static_cast<float>(code) - group_minimum;
      }
    }
  }
}

void q6_k(Bytes in, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, in += 210, out += kSuper) {
    const float scale = half(in + 208);
    for (int64_t v = 0; v < kSuper; ++v) {
      const int64_t low_byte = v / 128 * 64 + v % 64;
      const uint32_t low = u8(in + low_byte) >> (v % 128 / 64 * 4) & 15;
      const uint32_t code = low | two_bits(in + 128, v) << 4;
      out[v] = (scale * i8(in + 192 + v / 16)) * (static_cast<float>(code) - 32.0F);
    }
  }
}

void q8_k(Bytes in, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, in += 292, out += kSuper) {
    float scale = 0;
    std::memcpy(&scale, in, sizeof scale);
    for (int64_t i = 0; i < kSuper; ++i) out[i] = scale * i8(in + 4 + i);
  }
}

constexpr std::array<BlockType, 14> kReadable = {{{0, "F32", 1, 4, f32},
                                                  {1, "F16", 1, 2, f16},
                                                  {30, "BF16", 1, 2, bf16},
                                                  {8, "Q8_0", 32, 34, q8_0},
                                                  {2, "Q4_0", 32, 18, q4_q5<false, false>},
                                                  {3, "Q4_1", 32, 20, q4_q5<true, false>},
                                                  {6, "Q5_0", 32, 22, q4_q5<false, true>},
                                                  {7, "Q5_1", 32, 24, q4_q5<true, true>},
                                                  {10, "Q2_K", 256, 84, q2_k},
                                                  {11, "Q3_K", 256, 110, q3_k},
                                                  {12, "Q4_K", 256, 144, q4_k_q5_k<false>},
                                                  {13, "Q5_K", 256, 176, q4_k_q5_k<true>},
                                                  {14, "Q6_K", 256, 210, q6_k},
                                                  {15, "Q8_K", 256, 292, q8_k}}};

constexpr std::array<std::pair<uint32_t, const char*>, 20> kUnreadable = {
    {{9, "Q8_1"},    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},
     {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},  {23, "IQ4_XS"},  {24, "I8"},
     {25, "I16"},    {26, "I32"},     {27, "I64"},    {28, "F64"},     {29, "IQ1_M"},
     {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"},  {40, "NVFP4"},   {41, "Q1_0"}}};

}  // namespace

const BlockType* find_block_type(uint32_t number) {
  for (const BlockType& type : kReadable) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

std::string block_type_name(uint32_t number) {
  if (const BlockType* type = find_block_type(number)) return type->name;
  for (const auto& [known, name] : kUnreadable) {
    if (known == number) return name;
  }
  return "type " + std::to_string(number);
}

std::string supported_block_types() {
  std::string names;
  for (const BlockType& type : kReadable) {
    if (!names.empty()) names += ", ";
    names += type.name;
  }
  return names;
}

}  // namespace headscope::model
