#include "kernels/tile_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/tile_kernels_body.h"
#include "kernels/tile_transpose.h"

namespace headscope::kernels {
namespace {

struct Avx2 {
  using Reg = __m256;
  static constexpr int64_t kWidth = 8;
  static constexpr int kMaxRows = 6;  // 12 accumulators of the 16 registers
  static constexpr int kDotRows = 3;
  static constexpr int kLaneRegs = 3;
  static constexpr int kLaneKeys = 4;
  static constexpr int64_t kTranspose = 8;

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg set1(float x) { return _mm256_set1_ps(x); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static Reg load(const BFloat16Bits* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  static Reg load(const Float16Bits* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  template <class T>
  static Reg load_part(const T* p, int64_t count) {
    T padded[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
    return load(padded);
  }
  static void store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  static void store_part(float* p, Reg x, int64_t count) {
    float padded[kWidth];
    store(padded, x);
    for (int64_t i = 0; i < count; ++i) p[i] = padded[i];
  }
  static void stream(float* p, Reg x) { _mm256_stream_ps(p, x); }
  static void end_streams() { _mm_sfence(); }
  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }

  static float reduce_add(Reg x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
  static float reduce_max(Reg x) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
  }
  static void reduce_add4(Reg a, Reg b, Reg c, Reg d, float* out) {
    const Reg pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }

  static Reg exp2(Reg x) {
    // The bound comes first: these two return their second operand when one is NaN.
    x = _mm256_min_ps(set1(kExp2Ceiling), _mm256_max_ps(set1(kExp2Floor), x));
    const Reg magic = set1(kRoundToExponent);
    const Reg shifted = add(x, magic);
    const Reg f = sub(x, sub(shifted, magic));
    Reg p = set1(kExp2Polynomial[6]);
#pragma GCC unroll 6
    for (int i = 5; i >= 0; --i) p = fma(p, f, set1(kExp2Polynomial[i]));
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return mul(p, _mm256_castsi256_ps(exponent));
  }

  // 8 x 8.
  static void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    transpose8(from, from_stride, to, to_stride);
  }

  static uint64_t at_least(Reg x, Reg bar) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, bar, _CMP_GE_OQ)));
  }
  // Lane by lane: a >= b ? x : y.
  static Reg choose_at_least(Reg a, Reg b, Reg x, Reg y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GE_OQ));
  }
  static int64_t store_lanes(uint64_t hits, int32_t first, int32_t* out) {
    return store_lanes_one_by_one(hits, first, out);
  }
};

}  // namespace

const TileKernels& tile_kernels_avx2() {
  static const TileKernels table = make_tile_kernels<Avx2>();
  return table;
}

}  // namespace headscope::kernels

#else

namespace headscope::kernels {
const TileKernels& tile_kernels_avx2() {
  return tile_kernels_portable();
}
}  // namespace headscope::kernels

#endif
