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
  at::Tensor total;
  std::vector<at::Tensor> norms(1);
  for (int64_t kv_head = 0; kv_head < num_kv_heads; ++kv_head) {
    at::Tensor share =
        at::mm(difference.narrow(/*dim=*/1, kv_head * columns, columns),
               w_o.narrow(/*dim=*/1, kv_head * columns, columns).t());  // [.., hidden]
    norms.push_back(share.norm(2, /*dim=*/1));
    if (total.defined()) {
      total.add_(share);
    } else {
      total = std::move(share);
    }
  }
  norms[0] = total.norm(2, /*dim=*/1);
  return at::stack(norms).view({-1, num_budgets, num_steps}).transpose(0, 1) /
         scale.view({1, 1, num_steps});
}

}  // namespace headscope::profiler
