// AVX-512 with the products of AMX-BF16: sixteen rows with sixteen keys over 32 elements in one
// instruction, many times the rate of AVX512-BF16. Worth its packing for blocks of rows; few rows
// go the way of AVX512-BF16.
#include "kernels/tile_kernels.h"

#if defined(__x86_64__)

#include "kernels/tile_avx512.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kSide = 16;             // rows and keys of a tile register
constexpr int64_t kDepth = 32;            // elements of head_dim in one
constexpr int64_t kTileFloats = 16 * 16;  // a tile register's 1024 bytes
constexpr int64_t kLargestDim = 256;      // of head_dim
constexpr int64_t kSmallestDim = 16;      // less, padded to kDepth, has no room where rows lie
constexpr int64_t kTileRowBytes = 64;

int64_t padded_dim(int64_t d) {
  return (d + kDepth - 1) / kDepth * kDepth;
}

bool has_tiles(int64_t d) {
  return d >= kSmallestDim && d <= kLargestDim;
}

struct alignas(64) TileShapes {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileShapes) == 64);

// The compiler's tile intrinsics do not say that they read and write memory.
void memory_is_read_here() {
  asm volatile("" ::: "memory");
}

// Eight full registers, as long as this lives. LibTorch's products set shapes per thread and trust
// to find them again: they are put back.
class TilesInUse {
 public:
  TilesInUse() {
    memory_is_read_here();
    asm volatile("sttilecfg %0" : "=m"(before_));
    TileShapes shapes{};
    shapes.palette = 1;
    for (int i = 0; i < 8; ++i) {
      shapes.row_bytes[i] = kTileRowBytes;
      shapes.rows[i] = kSide;
    }
    asm volatile("ldtilecfg %0" ::"m"(shapes));
  }
  ~TilesInUse() {
    if (before_.palette == 0) {
      asm volatile("tilerelease" ::: "memory");
    } else {
      asm volatile("ldtilecfg %0" ::"m"(before_));
    }
  }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;

 private:
  TileShapes before_{};
};

// Rows of bfloat16 padded with zeros: [round_up(rows, 16)][padded_dim(d)]. Row r is at r * ld.
void round_padded(const float* from, int64_t ld, int64_t rows, int64_t d, uint16_t* out) {
  const int64_t padded = padded_dim(d), all_rows = (rows + kSide - 1) / kSide * kSide;
  for (int64_t r = 0; r < all_rows; ++r, out += padded) {
    const int64_t known = r < rows ? d : 0;
    for (int64_t c = 0; c < padded; c += Avx512::kWidth) {
      const int64_t left = known > c ? smaller(Avx512::kWidth, known - c) : 0;
      const __m512 x = left > 0 ? Avx512::load_part(from + r * ld + c, left) : Avx512::zero();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c),
                          reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
    }
  }
}

void pack_rows(const float* q, int64_t rows, int64_t d, void* packed) {
  if (!has_tiles(d)) {
    tile_kernels_avx512_bf16().bfloat16->pack_rows(q, rows, d, packed);
    return;
  }
  round_padded(q, d, rows, d, static_cast<uint16_t*>(packed));
}

// One register's worth of keys: pair p of neighbours in head_dim of key j at [p][j].
void pack_key_tile(const uint16_t* keys, int64_t stride, int64_t count, int64_t depth, float* out) {
  alignas(64) float pairs[kTileFloats];
  for (int64_t j = 0; j < kSide; ++j) {
    const __mmask32 mask = j >= count        ? __mmask32{0}
                           : depth >= kDepth ? ~__mmask32{0}
                                             : (__mmask32{1} << depth) - 1;
    _mm512_store_si512(pairs + j * kSide, _mm512_maskz_loadu_epi16(mask, keys + j * stride));
  }
  for (int64_t p = 0; p < kSide; p += Avx512::kTranspose) {
    for (int64_t j = 0; j < kSide; j += Avx512::kTranspose) {
      Avx512::transpose(pairs + j * kSide + p, kSide, out + p * kSide + j, kSide);
    }
  }
}

// out [16 or 32 rows][16 or 32 keys] = factor * products, from `steps` registers per row and key.
template <bool kTwoRows, bool kTwoKeys>
void product_block(const uint16_t* rows,
                   int64_t padded,
                   const float* first_keys,
                   const float* second_keys,
                   float factor,
                   float* out,
                   int64_t ld) {
  const int64_t row_bytes = padded * int64_t{sizeof(uint16_t)};
  const int64_t out_bytes = ld * int64_t{sizeof(float)};
  const uint16_t* second_rows = rows + kSide * padded;
  _tile_zero(0);
  if constexpr (kTwoKeys) _tile_zero(1);
  if constexpr (kTwoRows) _tile_zero(2);
  if constexpr (kTwoRows && kTwoKeys) _tile_zero(3);
  for (int64_t step = 0; step < padded / kDepth; ++step) {
    _tile_loadd(4, rows + step * kDepth, row_bytes);
    _tile_loadd(6, first_keys + step * kTileFloats, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kTwoKeys) {
      _tile_loadd(7, second_keys + step * kTileFloats, kTileRowBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kTwoRows) {
      _tile_loadd(5, second_rows + step * kDepth, row_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (kTwoRows && kTwoKeys) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, out_bytes);
  if constexpr (kTwoKeys) _tile_stored(1, out + kSide, out_bytes);
  if constexpr (kTwoRows) _tile_stored(2, out + kSide * ld, out_bytes);
  if constexpr (kTwoRows && kTwoKeys) _tile_stored(3, out + kSide * ld + kSide, out_bytes);
  memory_is_read_here();
  const __m512 scale = Avx512::set1(factor);
  for (int64_t r = 0; r < (kTwoRows ? 2 : 1) * kSide; ++r) {
    for (int64_t j = 0; j < (kTwoKeys ? 2 : 1) * kSide; j += kSide) {
      Avx512::store(out + r * ld + j, Avx512::mul(Avx512::load(out + r * ld + j), scale));
    }
  }
}

void row_logits(const void* packed,
                int64_t rows,
                int64_t d,
                float factor,
                const void* key_data,
                int64_t stride,
                int64_t count,
                float* out,
                int64_t ld) {
  if (!has_tiles(d)) {
    tile_kernels_avx512_bf16().bfloat16->row_logits(packed, rows, d, factor, key_data, stride,
                                                    count, out, ld);
    return;
  }
  constexpr int64_t kMostFloats = kLargestDim / kDepth * kTileFloats;
  alignas(64) float first[static_cast<size_t>(kMostFloats)];
  alignas(64) float second[static_cast<size_t>(kMostFloats)];
  const auto* q = static_cast<const uint16_t*>(packed);
  const auto* keys = static_cast<const uint16_t*>(key_data);
  const int64_t padded = padded_dim(d);
  const TilesInUse tiles;
  for (int64_t j = 0; j < count; j += 2 * kSide) {
    const int64_t left = count - j;
    for (int64_t c = 0; c < d; c += kDepth) {
      const int64_t at = c / kDepth * kTileFloats;
      pack_key_tile(keys + j * stride + c, stride, left, d - c, first + at);
      if (left > kSide) {
        pack_key_tile(keys + (j + kSide) * stride + c, stride, left - kSide, d - c, second + at);
      }
    }
    memory_is_read_here();
    for (int64_t r = 0; r < rows; r += 2 * kSide) {
      const bool two_rows = rows - r > kSide;
      const auto block =
          left > kSide ? (two_rows ? product_block<true, true> : product_block<false, true>)
                       : (two_rows ? product_block<true, false> : product_block<false, false>);
      block(q + r * padded, padded, first, second, factor, out + r * ld + j, ld);
    }
  }
}

// Two registers' worth of values, sixteen columns each: value 2p + i of column c at [p][2c + i].
void pack_value_tiles(const uint16_t* values,
                      int64_t stride,
                      int64_t count,
                      int64_t columns,
                      float* first,
                      float* second) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(kSide));
  const __mmask32 mask = columns >= kDepth ? ~__mmask32{0} : (__mmask32{1} << columns) - 1;
  for (int64_t p = 0; p < kSide; ++p) {
    const auto row = [&](int64_t j) {
      return _mm512_maskz_loadu_epi16(j < count ? mask : __mmask32{0}, values + j * stride);
    };
    const __m512i even = row(2 * p), odd = row(2 * p + 1);
    _mm512_store_si512(first + p * kSide, _mm512_permutex2var_epi16(even, low, odd));
    _mm512_store_si512(second + p * kSide, _mm512_permutex2var_epi16(even, high, odd));
  }
}

void add_values(const float* weight,
                int64_t ld,
                int64_t rows,
                int64_t d,
                const KvRows& kv,
                int64_t begin,
                int64_t count,
                const float* rescale,
                float* out) {
  if (!has_tiles(d)) {
    tile_kernels_avx512_bf16().add_values[static_cast<int>(KvType::kBFloat16)](
        weight, ld, rows, d, kv, begin, count, rescale, out);
    return;
  }
  constexpr int64_t kMostSteps = kTileKeys / kDepth, kPair = 2 * kSide;
  // A column of registers per sixteen columns of values, one below the other along the keys.
  alignas(64) float tiles[static_cast<size_t>(kLargestDim / kSide * kMostSteps * kTileFloats)];
  alignas(64) uint16_t rounded[static_cast<size_t>(kPair * kTileKeys)];
  alignas(64) float sums[static_cast<size_t>(kPair * kPair)];
  const int64_t padded = padded_dim(count), steps = padded / kDepth;
  const auto* values = static_cast<const uint16_t*>(kv.data) + begin * kv.stride;
  for (int64_t c = 0; c < d; c += kPair) {
    float* first = tiles + c / kSide * steps * kTileFloats;
    for (int64_t step = 0; step < steps; ++step) {
      pack_value_tiles(values + step * kDepth * kv.stride + c, kv.stride, count - step * kDepth,
                       d - c, first + step * kTileFloats, first + (steps + step) * kTileFloats);
    }
  }
  const TilesInUse in_use;
  for (int64_t r0 = 0; r0 < rows; r0 += kPair) {
    const int64_t block_rows = smaller(kPair, rows - r0);
    round_padded(weight + r0 * ld, ld, block_rows, count, rounded);
    memory_is_read_here();
    const auto block = block_rows > kSide ? product_block<true, true> : product_block<false, true>;
    for (int64_t c = 0; c < d; c += kPair) {
      const float* first = tiles + c / kSide * steps * kTileFloats;
      block(rounded, padded, first, first + steps * kTileFloats, /*factor=*/1.0f, sums, kPair);
      for (int64_t r = 0; r < block_rows; ++r) {
        const __m512 factor = Avx512::set1(rescale[r0 + r]);
        float* to = out + (r0 + r) * d + c;
        for (int64_t j = 0; j < smaller(kPair, d - c); j += kSide) {
          const int64_t left = smaller(kSide, d - c - j);
          const __m512 sum = Avx512::load(sums + r * kPair + j);
          Avx512::store_part(to + j, Avx512::fma(Avx512::load_part(to + j, left), factor, sum),
                             left);
        }
      }
    }
  }
}

}  // namespace

const TileKernels& tile_kernels_amx() {
  static const BFloat16Products products = [] {
    BFloat16Products of_rows = *tile_kernels_avx512_bf16().bfloat16;
    of_rows.pack_rows = pack_rows;
    of_rows.row_logits = row_logits;
    of_rows.attend_lanes = nullptr;
    of_rows.add_values = add_values;
    return of_rows;
  }();
  static const TileKernels table = with_bfloat16(tile_kernels_avx512_bf16(), &products);
  return table;
}

}  // namespace headscope::kernels

#else

namespace headscope::kernels {
const TileKernels& tile_kernels_amx() {
  return tile_kernels_portable();
}
}  // namespace headscope::kernels

#endif
