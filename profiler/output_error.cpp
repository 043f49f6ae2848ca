#include "profiler/output_error.h"

#include <ATen/ATen.h>

#include <vector>

namespace headscope::profiler {

at::Tensor relative_output_errors(const at::Tensor& z_kept,
                                  const at::Tensor& z_full,
                                  const at::Tensor& w_o,
                                  int64_t num_kv_heads) {
  const int64_t num_budgets = z_kept.size(0), num_steps = z_full.size(1);
  const int64_t columns = w_o.size(1) / num_kv_heads;
  const at::Tensor full = z_full.to(at::kFloat);
  const at::Tensor scale =
      at::matmul(full.transpose(0, 1).flatten(1), w_o.t()).norm(2, /*dim=*/1) + kErrorEpsilon;
  const at::Tensor difference = (z_kept - full.unsqueeze(0))
                                    .transpose(1, 2)
                                    .flatten(2)
                                    .flatten(0, 1);  // [num_budgets * R, Hq * d]
  // One buffer for all shares: fresh ones of this size cost as much in page faults as in arithmetic.
  at::Tensor share = at::empty({difference.size(0), w_o.size(0)}, difference.options());
  at::Tensor total = at::zeros_like(share);
  std::vector<at::Tensor> norms(1);
  for (int64_t kv_head = 0; kv_head < num_kv_heads; ++kv_head) {
    at::mm_out(share, difference.narrow(/*dim=*/1, kv_head * columns, columns),
               w_o.narrow(/*dim=*/1, kv_head * columns, columns).t());
    norms.push_back(share.norm(2, /*dim=*/1));
    total.add_(share);
  }
  norms[0] = total.norm(2, /*dim=*/1);
  return at::stack(norms).view({-1, num_budgets, num_steps}).transpose(0, 1) /
         scale.view({1, 1, num_steps});
}

}  // namespace headscope::profiler
