// The AVX-512 vector type of the tile kernels, for the copies that use it.
#pragma once

#include <immintrin.h>

#include "kernels/tile_kernels_body.h"
#include "kernels/tile_transpose.h"

namespace headscope::kernels {
namespace {

struct Avx512 {
  using Reg = __m512;
  static constexpr int64_t kWidth = 16;
  static constexpr int kMaxRows = 12;  // 24 accumulators of the 32 registers
  static constexpr int kDotRows = 6;
  static constexpr int kLaneRegs = 3;
  static constexpr int kLaneKeys = 8;
  static constexpr int64_t kTranspose = 8;

  static __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg set1(float x) { return _mm512_set1_ps(x); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg load(const BFloat16Bits* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg load(const Float16Bits* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg load_part(const float* p, int64_t count) {
    return _mm512_maskz_loadu_ps(first(count), p);
  }
  static Reg load_part(const BFloat16Bits* p, int64_t count) {
    return widen(_mm256_maskz_loadu_epi16(first(count), p));
  }
  static Reg load_part(const Float16Bits* p, int64_t count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), p));
  }
  static void store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static void store_part(float* p, Reg x, int64_t count) {
    _mm512_mask_storeu_ps(p, first(count), x);
  }
  static void stream(float* p, Reg x) { _mm512_stream_ps(p, x); }
  static void end_streams() { _mm_sfence(); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }

  static float reduce_add(Reg x) { return _mm512_reduce_add_ps(x); }
  static float reduce_max(Reg x) { return _mm512_reduce_max_ps(x); }
  static void reduce_add4(Reg a, Reg b, Reg c, Reg d, float* out) {
    const __m256 pairs =
        _mm256_hadd_ps(_mm256_hadd_ps(halves(a), halves(b)), _mm256_hadd_ps(halves(c), halves(d)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }

  static Reg exp2(Reg x) {
    // The bound comes first: these two return their second operand when one is NaN.
    x = _mm512_min_ps(set1(kExp2Ceiling), _mm512_max_ps(set1(kExp2Floor), x));
    const Reg magic = set1(kRoundToExponent);
    const Reg shifted = add(x, magic);
    const Reg f = sub(x, sub(shifted, magic));
    Reg p = set1(kExp2Polynomial[6]);
#pragma GCC unroll 6
    for (int i = 5; i >= 0; --i) p = fma(p, f, set1(kExp2Polynomial[i]));
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return mul(p, _mm512_castsi512_ps(exponent));
  }

  // 8 x 8.
  static void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    transpose8(from, from_stride, to, to_stride);
  }

  static uint64_t at_least(Reg x, Reg bar) {
    return _mm512_cmp_ps_mask(x, bar, _CMP_GE_OQ);
  }
  // Lane by lane: a >= b ? x : y.
  static Reg choose_at_least(Reg a, Reg b, Reg x, Reg y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), y, x);
  }
  static int64_t store_lanes(uint64_t hits, int32_t first, int32_t* out) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i position = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(static_cast<__mmask16>(hits), position));
    return __builtin_popcountll(hits);
  }

 private:
  static Reg widen(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static __m256 halves(Reg x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  }
};

inline TileKernels with_bfloat16(TileKernels kernels, const BFloat16Products* products) {
  kernels.bfloat16 = products;
  return kernels;
}

}  // namespace
}  // namespace headscope::kernels
