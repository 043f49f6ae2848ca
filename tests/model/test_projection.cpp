#include "model/projection.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "tests/support/thread_count.h"

namespace headscope::model {
namespace {

constexpr int64_t kIn = 96;
// Few, middling and many rows; some that threads do not share evenly.
constexpr int64_t kRows[] = {1, 100, 256, 257, 511, 1024, 1535, 1536};
constexpr int64_t kOut[] = {64, 1024, 1040};

struct Product {
  at::Tensor rows, weight, bias;

  Product(int64_t n, int64_t out, at::ScalarType type) {
    at::manual_seed(static_cast<uint64_t>(n + out));
    rows = at::randn({n, kIn}).to(type);
    weight = at::randn({out, kIn}).to(type);
    bias = at::randn({out}).to(type);
  }
  [[nodiscard]] at::Tensor exact() const {
    return at::addmm(bias.to(at::kDouble), rows.to(at::kDouble), weight.to(at::kDouble).t());
  }
};

// Of numbers of the size of sqrt(kIn): one rounding to the type, or float32 sums.
double allowed(at::ScalarType type) {
  return 40.0 * (type == at::kFloat ? 1e-6 : 0x1p-8);
}

TEST_CASE("products of any number of rows, on one thread and on several, are those of float64",
          "[model]") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int threads : {1, 2, 3}) {
      const testing::ThreadCount count(threads);
      for (const int64_t n : kRows) {
        for (const int64_t out : kOut) {
          INFO(at::toString(type) << ", " << threads << " threads, " << n << " rows, " << out
                                  << " columns, seed " << n + out);
          const Product product(n, out, type);
          const at::Tensor weight = packed_weight(product.weight);
          const at::Tensor exact = product.exact();
          const auto gap = [&](const at::Tensor& found) {
            return (found.to(at::kDouble) - exact).abs().max().item<double>();
          };
          CHECK(gap(project(product.rows, weight, product.bias)) <= allowed(type));
          CHECK(gap(project(product.rows, weight, at::Tensor()) + product.bias) <=
                2.0 * allowed(type));
        }
      }
    }
  }
}

TEST_CASE("a product is added to every row of a sum, on one thread and on several", "[model]") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int threads : {1, 2, 3}) {
      const testing::ThreadCount count(threads);
      for (const int64_t n : kRows) {
        INFO(at::toString(type) << ", " << threads << " threads, " << n << " rows, seed "
                                << n + kOut[0]);
        const Product product(n, kOut[0], type);
        const at::Tensor before = at::randn({n, kOut[0]}).to(type);
        const at::Tensor sum = before.clone();
        add_projected_(sum, product.rows, packed_weight(product.weight), product.bias);
        const at::Tensor exact = product.exact() + before.to(at::kDouble);
        CHECK((sum.to(at::kDouble) - exact).abs().max().item<double>() <= 2.0 * allowed(type));
      }
    }
  }
}

}  // namespace
}  // namespace headscope::model
