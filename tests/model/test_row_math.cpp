#include "model/row_math.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <limits>

#include "model/rms_norm.h"

namespace headscope::model {
namespace {

constexpr double kEps = 1e-5;
// Rows with and without a remainder beyond whole vectors.
constexpr int64_t kSizes[] = {1, 3, 15, 16, 17, 33, 64, 100, 576};
constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};

// The largest relative error of rounding to the type.
double rounding(at::ScalarType type) {
  if (type == at::kFloat) return 0.5 * std::numeric_limits<float>::epsilon();
  return type == at::kBFloat16 ? 0x1p-8 : 0x1p-11;
}

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type, int64_t seed) {
  at::manual_seed(static_cast<uint64_t>(seed));
  return at::randn(sizes).to(type);
}

// |found - exact| <= relative * |scale|, element by element.
void check_within(const at::Tensor& found,
                  const at::Tensor& exact,
                  const at::Tensor& scale,
                  double relative) {
  const at::Tensor gap = (found.to(at::kDouble) - exact).abs();
  CHECK(at::all(gap <= scale.abs() * relative + 1e-30).item<bool>());
}

template <class Element>
void rotate(const at::Tensor& pairs, const at::Tensor& cos, const at::Tensor& sin) {
  auto* lower = pairs.data_ptr<Element>();
  rotate_pairs(lower, lower + cos.numel(), cos.const_data_ptr<float>(), sin.const_data_ptr<float>(),
               cos.numel());
}

void rotate(const at::Tensor& pairs, const at::Tensor& cos, const at::Tensor& sin) {
  if (pairs.scalar_type() == at::kFloat) {
    rotate<float>(pairs, cos, sin);
  } else if (pairs.scalar_type() == at::kBFloat16) {
    rotate<at::BFloat16>(pairs, cos, sin);
  } else {
    rotate<at::Half>(pairs, cos, sin);
  }
}

TEST_CASE("RMS norm of rows of any size is that of float64 to the roundings of its type",
          "[model]") {
  for (const at::ScalarType type : kTypes) {
    for (const int64_t size : kSizes) {
      INFO(at::toString(type) << ", " << size << " numbers, seed " << size);
      const at::Tensor x = random({3, size}, type, size);
      const at::Tensor weight = random({size}, type, size + 1);
      const at::Tensor wide = x.to(at::kDouble);
      const at::Tensor exact = weight.to(at::kDouble) * wide *
                               at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + kEps);
      // Twice rounded to the type; the root and its sum in float32.
      check_within(rms_norm(x, weight, kEps), exact, exact, 2.1 * rounding(type) + 1e-6);
    }
  }
}

TEST_CASE("RMS norm of heads in place is bit for bit that of rows", "[model]") {
  for (const at::ScalarType type : kTypes) {
    for (const int64_t size : kSizes) {
      INFO(at::toString(type) << ", " << size << " numbers, seed " << size);
      const at::Tensor heads = random({1, 5, 2, size}, type, size);
      const at::Tensor weight = random({size}, type, size + 1);
      const at::Tensor rows = rms_norm(heads.view({10, size}), weight, kEps);
      rms_norm_heads_(heads, weight, kEps);
      CHECK(at::equal(heads.view({10, size}), rows));
    }
  }
}

TEST_CASE("pairs of any number are turned as in float64 to one rounding of their type", "[model]") {
  for (const at::ScalarType type : kTypes) {
    for (const int64_t count : kSizes) {
      INFO(at::toString(type) << ", " << count << " pairs, seed " << count);
      const at::Tensor pairs = random({2, count}, type, count);
      const at::Tensor angle = random({count}, at::kFloat, count + 1);
      const at::Tensor cos = angle.cos(), sin = angle.sin();
      const at::Tensor wide = pairs.to(at::kDouble);
      const at::Tensor exact =
          at::stack({wide[0] * cos - wide[1] * sin, wide[1] * cos + wide[0] * sin});
      rotate(pairs, cos, sin);
      // Two products that may cancel: errors are of their size.
      const at::Tensor products = wide[0].abs() + wide[1].abs();
      check_within(pairs, exact, at::maximum(exact.abs(), products * 1e-6 / rounding(type)),
                   1.01 * rounding(type));
    }
  }
}

}  // namespace
}  // namespace headscope::model
