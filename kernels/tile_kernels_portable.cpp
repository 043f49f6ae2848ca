// The copy that runs anywhere: four float lanes through the compiler's vector extension (SSE2 on
// x86-64, NEON on ARM), and the choice between the copies.
#include <bit>

#include "kernels/cpu_features.h"
#include "kernels/tile_kernels.h"
#include "kernels/tile_kernels_body.h"

namespace headscope::kernels {
namespace {

float float_of(BFloat16Bits x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

float float_of(Float16Bits x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7F800000u | ((magnitude & 0x3FFu) << 13));
  }
  // Shifted into float's fields the exponent is 112 too small; one product mends it, subnormals
  // included.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

float float_of(float x) {
  return x;
}

struct Portable {
  typedef float Reg __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  static constexpr int64_t kWidth = 4;
  static constexpr int kMaxRows = 4;
  static constexpr int kDotRows = 2;
  static constexpr int kLaneRegs = 2;
  static constexpr int kLaneKeys = 4;
  static constexpr int64_t kTranspose = 4;

  static Reg zero() { return Reg{0.0f, 0.0f, 0.0f, 0.0f}; }
  static Reg set1(float x) { return Reg{x, x, x, x}; }
  template <class T>
  static Reg load(const T* p) {
    return Reg{float_of(p[0]), float_of(p[1]), float_of(p[2]), float_of(p[3])};
  }
  static Reg load(const float* p) {
    Reg x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  template <class T>
  static Reg load_part(const T* p, int64_t count) {
    Reg x = zero();
    for (int64_t i = 0; i < count; ++i) x[i] = float_of(p[i]);
    return x;
  }
  static void store(float* p, Reg x) { __builtin_memcpy(p, &x, sizeof(x)); }
  static void store_part(float* p, Reg x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) p[i] = x[i];
  }
  static void stream(float* p, Reg x) { store(p, x); }
  static void end_streams() {}
  static Reg add(Reg a, Reg b) { return a + b; }
  static Reg sub(Reg a, Reg b) { return a - b; }
  static Reg mul(Reg a, Reg b) { return a * b; }
  static Reg max(Reg a, Reg b) { return a > b ? a : b; }
  static Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }

  static float reduce_add(Reg x) { return (x[0] + x[2]) + (x[1] + x[3]); }
  static float reduce_max(Reg x) {
    const float low = x[0] > x[1] ? x[0] : x[1];
    const float high = x[2] > x[3] ? x[2] : x[3];
    return low > high ? low : high;
  }
  static void reduce_add4(Reg a, Reg b, Reg c, Reg d, float* out) {
    out[0] = reduce_add(a);
    out[1] = reduce_add(b);
    out[2] = reduce_add(c);
    out[3] = reduce_add(d);
  }

  static Reg exp2(Reg x) {
    // Written so that NaN fails both comparisons and stays.
    x = x < set1(kExp2Floor) ? set1(kExp2Floor) : x;
    x = x > set1(kExp2Ceiling) ? set1(kExp2Ceiling) : x;
    const Reg shifted = x + set1(kRoundToExponent);
    const Reg f = x - (shifted - set1(kRoundToExponent));
    Reg p = set1(kExp2Polynomial[6]);
    for (int i = 5; i >= 0; --i) p = p * f + set1(kExp2Polynomial[i]);
    const Ints exponent = std::bit_cast<Ints>(shifted) << 23;
    return p * std::bit_cast<Reg>(exponent);
  }

  // 4 x 4: to[c * to_stride + r] = from[r * from_stride + c].
  static void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    for (int64_t c = 0; c < 4; ++c) {
      store(to + c * to_stride, Reg{from[c], from[from_stride + c], from[2 * from_stride + c],
                                    from[3 * from_stride + c]});
    }
  }

  static uint64_t at_least(Reg x, Reg bar) {
    const Ints hit = x >= bar;
    return static_cast<uint64_t>((hit[0] & 1) | (hit[1] & 2) | (hit[2] & 4) | (hit[3] & 8));
  }
  // Lane by lane: a >= b ? x : y.
  static Reg choose_at_least(Reg a, Reg b, Reg x, Reg y) { return a >= b ? x : y; }
  static int64_t store_lanes(uint64_t hits, int32_t first, int32_t* out) {
    return store_lanes_one_by_one(hits, first, out);
  }
};

}  // namespace

const TileKernels& tile_kernels_portable() {
  static const TileKernels table = make_tile_kernels<Portable>();
  return table;
}

const TileKernels& tile_kernels() {
  switch (instruction_set()) {
    case InstructionSet::kAmxBf16:
      return tile_kernels_amx();
    case InstructionSet::kAvx512Bf16:
      return tile_kernels_avx512_bf16();
    case InstructionSet::kAvx512:
      return tile_kernels_avx512();
    case InstructionSet::kAvx2:
      return tile_kernels_avx2();
    case InstructionSet::kPortable:
      break;
  }
  return tile_kernels_portable();
}

}  // namespace headscope::kernels
