#include "model/projection.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

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
  if (weight.is_mkldnn()) return packed_product(rows, weight, bias);
  if (bias.defined()) return at::addmm(bias, rows, weight.t());
  return at::mm(rows, weight.t());
}

void add_projected_(at::Tensor sum,
                    const at::Tensor& rows,
                    const at::Tensor& weight,
                    const at::Tensor& bias) {
  if (weight.is_mkldnn()) {
    sum.add_(packed_product(rows, weight, bias));
    return;
  }
  sum.addmm_(rows, weight.t());
  if (bias.defined()) sum.add_(bias);
}

}  // namespace headscope::model
