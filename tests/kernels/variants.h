// One body per op, run for every way the op can be computed: each compiled copy of the CPU kernels,
// the ATen composition, the CUDA kernels thread by thread on the CPU, and the GPU. And the oracles:
// float64 on plain einsum.
#pragma once

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cpu_features.h"
#include "tests/kernels/emulated_launcher.h"
#include "tests/support/thread_count.h"

namespace headscope::kernels {

inline constexpr uint64_t kSeed = 20260117;

enum class Way { kPortable, kAvx2, kAvx512, kAvx512Bf16, kAmxBf16, kAten, kEmulated, kCuda };

// Holds a way for one test: the instruction set is put back at the end.
class Variant {
 public:
  explicit Variant(Way way) : way_(way) {
    if (way == Way::kPortable) override_instruction_set(InstructionSet::kPortable);
    if (way == Way::kAvx2) override_instruction_set(InstructionSet::kAvx2);
    if (way == Way::kAvx512) override_instruction_set(InstructionSet::kAvx512);
    if (way == Way::kAvx512Bf16) override_instruction_set(InstructionSet::kAvx512Bf16);
    if (way == Way::kAmxBf16) override_instruction_set(InstructionSet::kAmxBf16);
    if (way == Way::kEmulated) override_kernel_launcher(&emulated_);
  }
  ~Variant() {
    override_instruction_set(std::nullopt);
    override_kernel_launcher(nullptr);
  }
  Variant(const Variant&) = delete;
  Variant& operator=(const Variant&) = delete;

  [[nodiscard]] bool aten() const { return way_ == Way::kAten; }
  [[nodiscard]] bool amx() const { return way_ == Way::kAmxBf16; }
  [[nodiscard]] bool on_gpu() const { return way_ == Way::kCuda; }
  [[nodiscard]] bool emulated() const { return way_ == Way::kEmulated; }
  // Kernel launches so far, of the way that counts them.
  [[nodiscard]] int emulated_launches() const { return emulated_.launches(); }
  [[nodiscard]] at::Tensor to_device(const at::Tensor& t) const {
    return way_ == Way::kCuda ? t.to(at::kCUDA) : t;
  }

 private:
  Way way_;
  EmulatedLauncher emulated_{kSeed};
};

// Why the way cannot be run here; empty where it can.
inline std::string reason_to_skip(Way way) {
  if (way == Way::kAvx2 && !supports(InstructionSet::kAvx2)) return "no AVX2 on this processor";
  if (way == Way::kAvx512 && !supports(InstructionSet::kAvx512)) {
    return "no AVX-512 on this processor";
  }
  if (way == Way::kAvx512Bf16 && !supports(InstructionSet::kAvx512Bf16)) {
    return "no AVX512-BF16 on this processor";
  }
  if (way == Way::kAmxBf16 && !supports(InstructionSet::kAmxBf16)) {
    return "no AMX-BF16 on this processor";
  }
  if (way == Way::kCuda && !at::hasCUDA()) return "no CUDA device";
  return "";
}

// The CPU kernels run alone and on three threads, which split rows, keys and heads otherwise.
template <class Body>
void run_variant(Way way, const Body& body) {
  const std::string reason = reason_to_skip(way);
  if (!reason.empty()) {
    std::cout << "SKIPPED: " << reason << "\n";
    return;
  }
  const Variant variant(way);
  if (variant.on_gpu() || variant.aten() || variant.emulated()) {
    body(variant);
  } else {
    for (const int threads : {1, 3}) {
      INFO(threads << " threads");
      const testing::ThreadCount count(threads);
      body(variant);
    }
  }
  if (variant.emulated()) CHECK(variant.emulated_launches() > 0);
}

// body is a function taking const Variant&. For ops that LibTorch computes on the GPU:
#define OP_TEST_CASES(claim, body)                      \
  TEST_CASE(claim " (portable)", "[kernels]") {         \
    run_variant(Way::kPortable, body);                  \
  }                                                     \
  TEST_CASE(claim " (AVX2)", "[kernels]") {             \
    run_variant(Way::kAvx2, body);                      \
  }                                                     \
  TEST_CASE(claim " (AVX-512)", "[kernels]") {          \
    run_variant(Way::kAvx512, body);                    \
  }                                                     \
  TEST_CASE(claim " (AVX512-BF16)", "[kernels]") {      \
    run_variant(Way::kAvx512Bf16, body);                \
  }                                                     \
  TEST_CASE(claim " (AMX-BF16)", "[kernels]") {         \
    run_variant(Way::kAmxBf16, body);                   \
  }                                                     \
  TEST_CASE(claim " (ATen composition)", "[kernels]") { \
    run_variant(Way::kAten, body);                      \
  }                                                     \
  TEST_CASE(claim " (CUDA)", "[kernels][gpu]") {        \
    run_variant(Way::kCuda, body);                      \
  }
// For ops with a CUDA kernel of ours:
#define KERNEL_TEST_CASES(claim, body)               \
  OP_TEST_CASES(claim, body)                         \
  TEST_CASE(claim " (CUDA emulated)", "[kernels]") { \
    run_variant(Way::kEmulated, body);               \
  }

// A shape of the sweep; S and n are chosen by each test.
struct HeadShape {
  int64_t num_kv_heads;
  int64_t group;
  int64_t head_dim;
  at::ScalarType dtype;
};

// Group sizes 1 to 8 and head dimensions from 8 to 256, 12 and 20 for the odd ends of a register,
// in every dtype. The emulated way is slow, and takes a few of them, with the largest dimension.
inline std::vector<HeadShape> head_shapes(const Variant& variant) {
  if (variant.emulated()) {
    return {{2, 3, 12, at::kFloat},    {1, 2, 80, at::kFloat},  {2, 4, 64, at::kBFloat16},
            {1, 5, 20, at::kBFloat16}, {1, 1, 256, at::kFloat}, {2, 8, 128, at::kHalf},
            {1, 7, 256, at::kBFloat16}};
  }
  const std::vector<int64_t> groups{1, 2, 4, 5, 7, 8, 3}, dims{8, 12, 20, 64, 80, 128, 256};
  std::vector<HeadShape> shapes;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      shapes.push_back({2, groups[i], dims[i], dtype});
      shapes.push_back({1, groups[i], dims[(i + 3) % dims.size()], dtype});
    }
  }
  return shapes;
}

inline std::string describe(const HeadShape& s) {
  return "KV heads " + std::to_string(s.num_kv_heads) + ", group " + std::to_string(s.group) +
         ", head_dim " + std::to_string(s.head_dim) + ", " + c10::toString(s.dtype);
}

// Normal numbers, rounded to dtype: the oracle sees exactly what the op sees.
inline at::Tensor normal(std::vector<int64_t> sizes, at::ScalarType dtype = at::kFloat) {
  return at::randn(sizes).to(dtype);
}

// Logits with a standard deviation of 2: peaked enough for the softmax to matter.
inline double peaked_scale(int64_t head_dim) {
  return 2.0 / std::sqrt(static_cast<double>(head_dim));
}

// float64 [Hq, n, S]: logits of row i at first_position + i, -inf where the key is not seen.
inline at::Tensor oracle_logits(const at::Tensor& q,  // [Hq, n, d]
                                const at::Tensor& k,  // [Hkv, S, d]
                                double scale,
                                int64_t first_position,
                                int64_t window = 0) {
  const int64_t group = q.size(0) / k.size(0);
  const at::Tensor keys = k.cpu().to(at::kDouble).repeat_interleave(group, 0);
  at::Tensor logits = at::einsum("hnd,hsd->hns", {q.cpu().to(at::kDouble), keys}) * scale;
  const at::Tensor row = at::arange(first_position, first_position + q.size(1)).unsqueeze(1);
  const at::Tensor key = at::arange(k.size(1)).unsqueeze(0);
  at::Tensor hidden = key > row;
  if (window > 0) hidden = hidden.logical_or(key <= row - window);
  return logits.masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

inline double largest_gap(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  if (a.numel() == 0) return 0.0;
  return (a.cpu().to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
}

// Results that stay float32: rounding of logits of size 10, and of sums of some hundred terms.
inline constexpr double kFloatTolerance = 1e-5;

// The same on the GPU for 16-bit inputs: tensor cores cut, not round, the sums of each 16 products
// to about 2^-23 of the largest; 16 steps of a logit before scaling up to 100, times scale, and
// 2^x.
inline double float_tolerance(const Variant& variant, at::ScalarType dtype) {
  return variant.on_gpu() && dtype != at::kFloat ? 5e-5 : kFloatTolerance;
}

// Outputs rounded to the dtype of q, and weights rounded to it inside LibTorch's kernels: two
// roundings of half a unit in the last place of numbers up to max |v|.
inline double output_tolerance(at::ScalarType dtype, const at::Tensor& v) {
  const double largest = v.to(at::kDouble).abs().max().item<double>();
  if (dtype == at::kBFloat16) return largest * 0x1p-8 + kFloatTolerance;
  if (dtype == at::kHalf) return largest * 0x1p-11 + kFloatTolerance;
  return kFloatTolerance;
}

}  // namespace headscope::kernels
