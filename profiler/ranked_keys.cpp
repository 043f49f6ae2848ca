#include "profiler/ranked_keys.h"

#include <ATen/ATen.h>

#include <vector>

#include "kernels/ops.h"

namespace headscope::profiler {

at::Tensor best_keys(const at::Tensor& scores, int64_t count, int64_t num_kv_heads) {
  const std::vector<int64_t> counts(static_cast<size_t>(scores.size(0)), count);
  const at::Tensor chosen =
      at::stack(kernels::select_retained(scores, counts)).to(scores.device());  // ascending
  const at::Tensor by_score =
      scores.gather(/*dim=*/1, chosen).argsort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
  return chosen.gather(/*dim=*/1, by_score).expand({num_kv_heads, count}).contiguous();
}

}  // namespace headscope::profiler
