#include "runtime/compensation.h"

#include <ATen/ATen.h>

namespace headscope::runtime {

int64_t Compensation::bytes_held() const {
  return static_cast<int64_t>(key.nbytes() + value.nbytes());
}

bool is_compensated(const EvictionPolicy& policy,
                    const SelectionOptions& selection,
                    int64_t attention_window) {
  return policy.compensates && selection.quirks.compensation && attention_window == 0;
}

bool is_compensated(const EvictionPolicy& policy, const LayerEvidence& evidence) {
  return is_compensated(policy, evidence.selection, evidence.attention_window);
}

Compensation compensate(const at::Tensor& keys,
                        const at::Tensor& values,
                        const RetainedPositions& retained) {
  const int64_t batch = keys.size(0);
  const int64_t num_kv_heads = keys.size(1);
  const int64_t num_keys = keys.size(2);
  const at::TensorOptions options = keys.options().dtype(at::kFloat);
  at::Tensor dropped = at::ones({batch * num_kv_heads, num_keys}, options);
  for (size_t row = 0; row < retained.size(); ++row) {
    dropped[static_cast<int64_t>(row)].index_fill_(/*dim=*/0, retained[row], 0.0);
  }
  dropped = dropped.reshape({batch, num_kv_heads, 1, num_keys});
  const at::Tensor count = dropped.sum(-1);  // [B, Hkv, 1]
  const auto mean = [&](const at::Tensor& entries) {
    const at::Tensor sum = at::matmul(dropped, entries.to(at::kFloat)).squeeze(2);
    return (sum / count.clamp_min(1.0)).to(entries.scalar_type());
  };
  return {mean(keys), mean(values), count.squeeze(-1).log()};
}

LayerAttention with_compensation(const LayerAttention& others,
                                 const LayerStep& step,
                                 const Compensation& compensation) {
  const int64_t num_kv_heads = compensation.key.size(1);
  const auto grouped = [&](const at::Tensor& t) {
    return t.to(at::kFloat).unflatten(/*dim=*/1, {num_kv_heads, t.size(1) / num_kv_heads});
  };
  // [B, Hkv, G, n]
  const at::Tensor logit =
      at::matmul(grouped(step.q), compensation.key.to(at::kFloat).unsqueeze(2).unsqueeze(-1))
          .squeeze(-1)
          .mul(step.scale)
          .add(compensation.log_count.unsqueeze(-1).unsqueeze(-1));
  const at::Tensor other_lse = grouped(others.lse);
  const at::Tensor lse = at::logaddexp(other_lse, logit);
  const at::Tensor value = compensation.value.to(at::kFloat).unsqueeze(2).unsqueeze(3);
  const at::Tensor z = grouped(others.z) * (other_lse - lse).exp().unsqueeze(-1) +
                       value * (logit - lse).exp().unsqueeze(-1);
  return {z.flatten(1, 2).to(others.z.scalar_type()), lse.flatten(1, 2)};
}

}  // namespace headscope::runtime
