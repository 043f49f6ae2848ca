// AVX-512 with the products of AVX512-BF16: pairs of bfloat16 numbers multiplied and added to a
// float32 sum in one instruction, twice the rate of float32.
#include "kernels/tile_kernels.h"

#if defined(__x86_64__)

#include "kernels/tile_avx512.h"

namespace headscope::kernels {
namespace {

// Two neighbours of a row in one 32-bit lane.
struct PairProduct {
  using Packed = uint32_t;
  using Key = uint16_t;
  using Operand = __m512bh;
  static constexpr int64_t kDepth = 2;
  static Operand broadcast(const Key* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return reinterpret_cast<Operand>(_mm512_set1_epi32(pair));
  }
  static Operand load(const Packed* p) { return reinterpret_cast<Operand>(_mm512_loadu_si512(p)); }
  static __m512 multiply_add(Operand key, Operand row, __m512 sum) {
    return _mm512_dpbf16_ps(sum, key, row);
  }
};

// Exact for float32 numbers that are bfloat16 numbers.
void round_rows(const float* q, int64_t rows, int64_t d, void* rounded) {
  auto* out = static_cast<uint16_t*>(rounded);
  const int64_t count = rows * d;
  for (int64_t i = 0; i < count; i += Avx512::kWidth) {
    const int64_t left = smaller(Avx512::kWidth, count - i);
    const auto mask = static_cast<__mmask16>((1u << left) - 1u);
    const __m256bh numbers = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, q + i));
    _mm256_mask_storeu_epi16(out + i, mask, reinterpret_cast<__m256i>(numbers));
  }
}

// A pair is a 32-bit number: rows of them are interleaved as rows of float32 are.
void pack_pairs(const float* q, int64_t rows, int64_t d, void* packed) {
  constexpr int64_t kStep = Avx512::kTranspose;
  auto* out = static_cast<float*>(packed);
  const int64_t registers = TileProducts<Avx512>::num_registers(rows);
  for_row_blocks<Avx512::kLaneRegs>(registers, [&](int64_t first, auto regs) {
    constexpr int64_t kLanes = decltype(regs)::value * Avx512::kWidth;
    for (int64_t lane = 0; lane < kLanes; lane += kStep) {
      const int64_t num_rows = smaller(kStep, rows - first * Avx512::kWidth - lane);
      for (int64_t c = 0; c < d; c += 2 * kStep) {
        const int64_t num_pairs = smaller(kStep, (d - c) / 2);
        float pairs[64] = {}, turned[64];
        static_assert(kStep * kStep == 64);
        for (int64_t i = 0; i < num_rows; ++i) {
          const float* row = q + (first * Avx512::kWidth + lane + i) * d + c;
          round_rows(row, 1, 2 * num_pairs, pairs + i * kStep);
        }
        Avx512::transpose(pairs, kStep, turned, kStep);
        for (int64_t i = 0; i < num_pairs; ++i) {
          __builtin_memcpy(out + (c / 2 + i) * kLanes + lane, turned + i * kStep,
                           kStep * sizeof(float));
        }
      }
    }
    out += d / 2 * kLanes;
  });
}

constexpr int64_t kDotWidth = 32;  // bfloat16 numbers of a register
constexpr int kDotKeys = 4;
constexpr int kDotRows = 6;

__m512bh load_pairs(const uint16_t* p, int64_t left) {
  const __mmask32 mask = left >= kDotWidth ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
  return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(mask, p));
}

template <int kRows, int kKeys>
void dot_block(const uint16_t* q,
               int64_t d,
               float factor,
               const uint16_t* keys,
               int64_t stride,
               float* out,
               int64_t ld) {
  RegisterBlock<Avx512, kRows, kDotKeys> acc;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kDotKeys; ++j) acc.x[r][j] = _mm512_setzero_ps();
  }
  for (int64_t c = 0; c < d; c += kDotWidth) {
    __m512bh key[static_cast<size_t>(kKeys)];
#pragma GCC unroll 4
    for (int j = 0; j < kKeys; ++j) key[j] = load_pairs(keys + j * stride + c, d - c);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512bh row = load_pairs(q + r * d + c, d - c);
#pragma GCC unroll 4
      for (int j = 0; j < kKeys; ++j) acc.x[r][j] = _mm512_dpbf16_ps(acc.x[r][j], key[j], row);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float sum[kDotKeys];
    Avx512::reduce_add4(acc.x[r][0], acc.x[r][1], acc.x[r][2], acc.x[r][3], sum);
    for (int j = 0; j < kKeys; ++j) out[r * ld + j] = factor * sum[j];
  }
}

void dot_logits(const void* q_data,
                int64_t rows,
                int64_t d,
                float factor,
                const void* key_data,
                int64_t stride,
                int64_t count,
                float* out,
                int64_t ld) {
  const auto* q = static_cast<const uint16_t*>(q_data);
  const auto* keys = static_cast<const uint16_t*>(key_data);
  int64_t j = 0;
  const auto block = [&](auto num_keys) {
    for_row_blocks<kDotRows>(rows, [&](int64_t r0, auto num_rows) {
      dot_block<decltype(num_rows)::value, decltype(num_keys)::value>(
          q + r0 * d, d, factor, keys + j * stride, stride, out + r0 * ld + j, ld);
    });
  };
  for (; j + kDotKeys <= count; j += kDotKeys) block(RowCount<kDotKeys>{});
  for (; j < count; ++j) block(RowCount<1>{});
}

}  // namespace

const TileKernels& tile_kernels_avx512_bf16() {
  static const BFloat16Products products{pack_pairs,
                                         TileProducts<Avx512>::row_logits<PairProduct>,
                                         round_rows,
                                         dot_logits,
                                         /*add_values=*/nullptr,
                                         TileLanes<Avx512, PairProduct>::attend};
  static const TileKernels table = with_bfloat16(make_tile_kernels<Avx512>(), &products);
  return table;
}

}  // namespace headscope::kernels

#else

namespace headscope::kernels {
const TileKernels& tile_kernels_avx512_bf16() {
  return tile_kernels_portable();
}
}  // namespace headscope::kernels

#endif
