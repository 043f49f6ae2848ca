#include "model/row_math.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "model/rms_norm.h"
#include "model/swiglu.h"

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

// Gates of every size from where e^-x leaves float32 to where it no longer counts.
at::Tensor random_gates(int64_t rows, int64_t size, at::ScalarType type, int64_t seed) {
  const at::Tensor gates = random({rows, size}, at::kFloat, seed) * 4.0;
  gates[0].mul_(30.0);
  return gates.to(type);
}

TEST_CASE("gated rows of any size are those of float64 to the roundings of their type", "[model]") {
  for (const at::ScalarType type : kTypes) {
    for (const int64_t size : kSizes) {
      INFO(at::toString(type) << ", " << size << " numbers, seed " << size);
      const at::Tensor gate = random_gates(40, size, type, size);
      const at::Tensor up = random({40, size}, type, size + 1);
      const at::Tensor x = gate.to(at::kDouble);
      const at::Tensor exact = x / (1.0 + (-x).exp()) * up.to(at::kDouble);
      const at::Tensor gated = swiglu(at::cat({gate, up}, 1));
      CHECK(gated.scalar_type() == type);
      const at::Tensor gap = (gated.to(at::kDouble) - exact).abs();
      // Twice rounded to the type, whose least number may be all that is left of a gate far below
      // 0.
      const double least = type == at::kHalf ? 0x1p-24 : 1e-34;
      const at::Tensor allowed =
          exact.abs() * (2.1 * rounding(type) + 4e-7) + least * (up.to(at::kDouble).abs() + 1.0);
      CHECK(at::all(gap <= allowed).item<bool>());
    }
  }
}

TEST_CASE("gates that are infinite or no number are answered as silu answers them", "[model]") {
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    INFO(at::toString(type));
    const at::Tensor gate =
        at::tensor({kInfinite, std::nanf(""), -std::nanf(""), 1000.0F, -1000.0F, 0.0F, 3e38F})
            .repeat(5)
            .unsqueeze(0);
    const at::Tensor up = at::full_like(gate, 2.0);
    const at::Tensor gated = swiglu(at::cat({gate, up}, 1).to(type));
    const at::Tensor expected = at::silu(gate.to(type)) * up.to(type);
    CHECK(at::allclose(gated, expected, 1e-6, 1e-34, /*equal_nan=*/true));
  }
}

}  // namespace
}  // namespace headscope::model
