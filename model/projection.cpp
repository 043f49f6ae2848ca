#include "model/projection.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "model/row_tasks.h"

namespace headscope::model {
namespace {

using Reorder = at::Tensor(const at::Tensor&, std::optional<int64_t>);
using Linear = at::Tensor(const at::Tensor&,
                          const at::Tensor&,
                          const std::optional<at::Tensor>&,
                          std::string_view,
                          c10::List<std::optional<at::Scalar>>,
                          std::optional<std::string_view>);

// LibTorch exports these operators, which torch.compile uses, through its dispatcher only.
std::optional<c10::OperatorHandle> find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchema({name, ""});
}

// Elsewhere oneDNN has no bfloat16 product, or a slow one.
bool has_bfloat16_products() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

bool can_pack(const at::Tensor& weight) {
  static const bool has_operators = at::hasMKLDNN() &&
                                    find_operator("mkldnn::_reorder_linear_weight").has_value() &&
                                    find_operator("mkldnn::_linear_pointwise").has_value();
  if (!has_operators || !weight.is_cpu() || weight.is_mkldnn()) return false;
  return weight.scalar_type() == at::kFloat ||
         (weight.scalar_type() == at::kBFloat16 && has_bfloat16_products());
}

at::Tensor packed_product(const at::Tensor& rows,
                          const at::Tensor& weight,
                          const at::Tensor& bias) {
  static const auto linear = find_operator("mkldnn::_linear_pointwise").value().typed<Linear>();
  return linear.call(rows.contiguous(), weight, bias.defined() ? std::optional(bias) : std::nullopt,
                     "none", c10::List<std::optional<at::Scalar>>(), "");
}

// oneDNN gives all of a bfloat16 product with few columns to one thread where its rows are neither
// few nor many: with two threads 1 024 rows take as long as 2 048 (576 and 960 columns). Such rows
// are shared out here.
bool shares_rows(const at::Tensor& rows, const at::Tensor& weight) {
  constexpr int64_t kMostColumns = 1024, kFewestRows = 256, kMostRows = 1536;
  constexpr int64_t kFewestOfThread = 128;  // with fewer a core is far from its rate
  const int64_t n = rows.size(0);
  return weight.scalar_type() == at::kBFloat16 && weight.size(0) <= kMostColumns &&
         n >= kFewestRows && n < kMostRows && rows_suffice(n, kFewestOfThread);
}

}  // namespace

at::Tensor packed_weight(const at::Tensor& weight) {
  if (!can_pack(weight)) return weight;
  static const auto reorder =
      find_operator("mkldnn::_reorder_linear_weight").value().typed<Reorder>();
  return reorder.call(weight.contiguous(), std::nullopt);
}

at::Tensor plain_weight(const at::Tensor& weight) {
  return weight.is_mkldnn() ? weight.to_dense() : weight;
}

at::Tensor project(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& bias) {
  if (weight.is_mkldnn()) {
    if (!shares_rows(rows, weight)) return packed_product(rows, weight, bias);
    at::Tensor out = at::empty({rows.size(0), weight.size(0)}, rows.options());
    for_row_parts(rows.size(0), [&](int64_t begin, int64_t end) {
      out.slice(0, begin, end).copy_(packed_product(rows.slice(0, begin, end), weight, bias));
    });
    return out;
  }
  if (bias.defined()) return at::addmm(bias, rows, weight.t());
  return at::mm(rows, weight.t());
}

void add_projected_(at::Tensor sum,
                    const at::Tensor& rows,
                    const at::Tensor& weight,
                    const at::Tensor& bias) {
  if (weight.is_mkldnn()) {
    if (shares_rows(rows, weight)) {
      for_row_parts(rows.size(0), [&](int64_t begin, int64_t end) {
        sum.slice(0, begin, end).add_(packed_product(rows.slice(0, begin, end), weight, bias));
      });
    } else {
      sum.add_(packed_product(rows, weight, bias));
    }
    return;
  }
  sum.addmm_(rows, weight.t());
  if (bias.defined()) sum.add_(bias);
}

}  // namespace headscope::model
